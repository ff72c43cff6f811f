"""Cross-entropies over many classes against log-softmax of every pair, values and gradients."""

import pytest
import torch
import torch.nn.functional as F

from workflow_scripts.slpd.cross_entropy import cross_entropies


def problem(t: int, v: int, b: int, c: int, d: int, dtype: torch.dtype = torch.float64):
    generator = torch.Generator().manual_seed(t + v + b + c + d)
    z = F.normalize(torch.randn(v, b, d, dtype=torch.float64, generator=generator), dim=-1)
    w = F.normalize(torch.randn(c, d, dtype=torch.float64, generator=generator), dim=-1)
    targets = (4 * torch.randn(t, b, c, dtype=torch.float64, generator=generator)).softmax(-1)
    return z.to(dtype).requires_grad_(), w.to(dtype).requires_grad_(), targets.to(dtype)


def pairs(z, w, targets, temperature):
    """Every pair of a target and a crop on its own."""
    rows = [[-(q * F.log_softmax(s @ w.T / temperature, dim=-1)).sum(-1) for s in z] for q in targets]
    return torch.stack([torch.stack(row) for row in rows])


@pytest.mark.parametrize("temperature", [0.02, 0.1, 1.5])
@pytest.mark.parametrize(("t", "v", "b", "c", "d"), [(4, 10, 3, 50, 8), (1, 2, 1, 3, 2), (2, 3, 5, 400, 16)])
def test_values_and_gradients_equal_log_softmax_of_every_pair(t, v, b, c, d, temperature):
    z, w, targets = problem(t, v, b, c, d)
    weights = torch.rand(t, v, b, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    fast, slow = cross_entropies(z, w, targets, temperature), pairs(z, w, targets, temperature)
    torch.testing.assert_close(fast, slow, rtol=1e-10, atol=1e-10)
    got = torch.autograd.grad((fast * weights).sum(), [z, w])
    want = torch.autograd.grad((slow * weights).sum(), [z, w])
    for one, other in zip(got, want, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)


def test_gradient_is_that_of_finite_differences():
    z, w, targets = problem(2, 3, 2, 5, 4)
    assert torch.autograd.gradcheck(lambda z, w: cross_entropies(z, w, targets, 0.5), (z, w))


def test_bfloat16_products_are_close_and_give_float32():
    z, w, targets = problem(4, 10, 8, 4096, 64, torch.float32)
    exact, low = (cross_entropies(z, w, targets, 0.1, dtype) for dtype in (torch.float32, torch.bfloat16))
    assert low.dtype == torch.float32
    torch.testing.assert_close(low, exact, rtol=2e-2, atol=2e-2)
    gradients = (torch.autograd.grad(value.sum(), [z, w]) for value in (low, exact))
    for one, other in zip(*gradients, strict=True):
        assert torch.cosine_similarity(one.flatten(), other.flatten(), dim=0) > 0.999
        assert one.norm().item() == pytest.approx(other.norm().item(), rel=1e-2)
