import math

import pytest
import torch

from workflow_scripts.slpd.losses import entropy, prototype_loss, self_loss, sharpen, update_center

from . import plain


def random_logits(v: int, b: int, c: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (4 * torch.randn(v, b, c, dtype=torch.float64, generator=generator)).requires_grad_()


def random_targets(t: int, b: int, c: int, seed: int) -> torch.Tensor:
    return (random_logits(t, b, c, seed).detach()).softmax(-1)


def compare(fast: torch.Tensor, slow: torch.Tensor, student: torch.Tensor) -> None:
    torch.testing.assert_close(fast, slow, rtol=1e-9, atol=1e-9)
    fast_gradient = torch.autograd.grad(fast, student, retain_graph=True)[0]
    slow_gradient = torch.autograd.grad(slow, student)[0]
    torch.testing.assert_close(fast_gradient, slow_gradient, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("g", "v", "b", "c"), [(2, 10, 3, 7), (2, 2, 1, 4), (3, 5, 2, 5)])
def test_self_loss_and_gradient_equal_triple_loops(g, v, b, c):
    student, targets = random_logits(v, b, c, 0), random_targets(g, b, c, 1)
    compare(self_loss(targets, student, student.logsumexp(-1)), plain.self_loss(targets, student), student)


@pytest.mark.parametrize("share", [1.0, 0.5])
@pytest.mark.parametrize("t", [1, 3])
def test_prototype_loss_and_gradient_equal_triple_loops(t, share):
    student, targets = random_logits(4, 6, 5, 2), random_targets(t, 6, 5, 3)
    present = torch.rand(t, 6, generator=torch.Generator().manual_seed(4)) < share
    if share < 1:
        present[:, 0] = False
        assert present.any()
    compare(
        prototype_loss(targets, present, student, student.logsumexp(-1)),
        plain.prototype_loss(targets, present, student),
        student,
    )


@pytest.mark.parametrize("t", [0, 2])
def test_prototype_loss_without_any_target_is_zero_with_zero_gradient(t):
    student = random_logits(4, 3, 5, 5)
    present = torch.zeros(t, 3, dtype=torch.bool)
    loss = prototype_loss(random_targets(t, 3, 5, 6), present, student, student.logsumexp(-1))
    assert loss.item() == 0
    assert not torch.autograd.grad(loss, student)[0].any()


def test_absent_targets_values_do_not_count():
    student = random_logits(3, 4, 5, 7)
    targets = random_targets(2, 4, 5, 8)
    present = torch.tensor([[True, False, True, False], [False, True, True, False]])
    lse = student.logsumexp(-1)
    other = torch.where(present[..., None], targets, random_targets(2, 4, 5, 9))
    assert prototype_loss(targets, present, student, lse) == prototype_loss(other, present, student, lse)


def test_sharpen_equals_softmax_by_hand():
    logits, center = random_logits(2, 3, 5, 10).detach(), random_logits(1, 1, 5, 11).detach()[0, 0]
    got = sharpen(logits, center, 0.7)
    for t in range(2):
        for b in range(3):
            e = [math.exp((logits[t, b, c].item() - center[c].item()) / 0.7) for c in range(5)]
            assert got[t, b].tolist() == pytest.approx([x / sum(e) for x in e], abs=1e-12)


@pytest.mark.parametrize("masked", [False, True])
def test_center_is_a_moving_mean_of_the_present(masked):
    logits, center = random_logits(3, 4, 5, 12).detach(), random_logits(1, 1, 5, 13).detach()[0, 0]
    present = torch.rand(3, 4, generator=torch.Generator().manual_seed(14)) < 0.5 if masked else None
    got = update_center(center, logits, present, 0.9)
    for c in range(5):
        taken = [logits[t, b, c].item() for t in range(3) for b in range(4) if not masked or present[t, b]]
        assert got[c].item() == pytest.approx(0.9 * center[c].item() + 0.1 * sum(taken) / len(taken), abs=1e-12)


def test_center_stays_when_nothing_is_present():
    center = torch.arange(5.0)
    assert torch.equal(update_center(center, torch.ones(2, 3, 5), torch.zeros(2, 3, dtype=torch.bool), 0.9), center)


def test_entropy_of_known_distributions():
    assert entropy(torch.full((2, 8), 1 / 8)).item() == pytest.approx(math.log(8), rel=1e-6)
    assert entropy(torch.eye(4)).item() == 0
    assert entropy(torch.tensor([[0.25, 0.75], [0.5, 0.5]])).item() == pytest.approx(
        (-0.25 * math.log(0.25) - 0.75 * math.log(0.75) + math.log(2)) / 2, rel=1e-6
    )
