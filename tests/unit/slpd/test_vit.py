import numpy as np
import pytest
import torch

from workflow_scripts.slpd.vit import RegionViT, attention, resized, split_heads

from . import plain


def small(seed: int = 0, positions: int = 3) -> RegionViT:
    torch.manual_seed(seed)
    vit = RegionViT(5, 8, 2, 2, 2.0, positions).double().eval()
    for parameter in vit.parameters():  # no zero biases, no all-ones norms: every parameter must matter
        parameter.data += 0.3 * torch.randn_like(parameter)
    return vit


def test_paper_setting_has_its_number_of_parameters():
    vit = RegionViT(384, 192, 6, 6, 4.0, 14)
    assert sum(p.numel() for p in vit.parameters()) == 2_781_504


def test_initialisation_is_dinos():
    torch.manual_seed(0)
    vit = RegionViT(384, 192, 2, 6, 4.0, 14)
    for name, parameter in vit.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any(), name
        elif "norm" in name:
            assert (parameter == 1).all(), name
        elif parameter.numel() > 10_000:
            assert parameter.std().item() == pytest.approx(0.02, rel=0.05), name
            assert abs(parameter.mean().item()) < 0.001, name


@pytest.mark.parametrize("branch", [0, 1])
def test_a_branch_that_is_not_kept_is_as_if_absent(branch):
    vit, x = small(), torch.randn(3, 2, 2, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    keep = torch.ones(2, 2, 3, dtype=torch.float64)
    keep[1, branch, 2] = 0  # second block, third sample
    got, whole = vit.encode(x, keep=keep), vit.encode(x)
    torch.testing.assert_close(got[:2], whole[:2], rtol=1e-12, atol=1e-12)
    layer = vit.blocks[1].proj if branch == 0 else vit.blocks[1].fc2
    layer.weight.data.zero_()
    layer.bias.data.zero_()
    torch.testing.assert_close(got[2], vit.encode(x)[2], rtol=1e-12, atol=1e-12)
    assert not torch.allclose(got[2], whole[2])


@pytest.mark.parametrize("t", [5, 70])  # matrix products, and the fused kernel
@pytest.mark.parametrize("masked", [False, True])
def test_attention_equals_softmax_of_products(t, masked):
    generator = torch.Generator().manual_seed(5)
    q, k, v = (torch.randn(2, 3, t, 4, dtype=torch.float64, generator=generator) for _ in range(3))
    mask = torch.rand(2, 1, 1, t, generator=generator) < 0.5
    mask[..., 0] = True
    got = attention(q, k, v, mask if masked else None)
    for b in range(2):
        seen = mask[b, 0, 0].numpy() if masked else np.ones(t, dtype=bool)
        for h in range(3):
            scores = np.exp(q[b, h].numpy() @ k[b, h].numpy().T / 2) * seen
            want = scores / scores.sum(1, keepdims=True) @ v[b, h].numpy()
            np.testing.assert_allclose(got[b, h].numpy(), want, rtol=1e-10)


def test_bfloat16_tokens_are_worked_on_in_bfloat16_with_float32_parameters():
    vit = small().float()
    tokens = torch.randn(16, 3, 3, 5, generator=torch.Generator().manual_seed(6))
    low, high = vit(tokens.bfloat16()), vit(tokens)
    assert low.dtype == torch.bfloat16
    assert not torch.equal(low.float(), high)
    assert torch.cosine_similarity(low.float(), high).min() > 0.999
    low.sum().backward()
    assert all(p.grad.dtype == torch.float32 for p in vit.parameters())


@pytest.mark.parametrize("side", [2, 3, 4])
def test_forward_equals_plain_loops(side):
    vit = small()
    tokens = torch.randn(3, side, side, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    weights = dict(vit.named_parameters())
    got = vit(tokens)
    for b in range(3):
        want = plain.vit(weights, tokens[b], list(range(side * side)), heads=2, depth=2, side=3)
        torch.testing.assert_close(got[b], want, rtol=1e-10, atol=1e-10)


def test_masked_tokens_are_as_if_absent():
    vit = small()
    generator = torch.Generator().manual_seed(2)
    tokens = torch.randn(4, 4, 4, 5, dtype=torch.float64, generator=generator)
    valid = torch.rand(4, 4, 4, generator=generator) < 0.6
    valid[3] = False  # nothing but the CLS token is left
    got = vit(tokens, valid)
    for b in range(4):
        keep = valid[b].flatten().nonzero()[:, 0].tolist()
        want = plain.vit(dict(vit.named_parameters()), tokens[b], keep, heads=2, depth=2, side=3)
        torch.testing.assert_close(got[b], want, rtol=1e-10, atol=1e-10)
    changed = torch.where(valid[..., None], tokens, 1000.0)
    assert torch.equal(vit(changed, valid), got)
    assert not torch.allclose(vit(changed), vit(tokens))


@pytest.mark.parametrize("out", [6, 16])
def test_position_embedding_is_keys_cubic_interpolation(out):
    torch.manual_seed(0)
    vit = RegionViT(4, 8, 1, 2, 1.0, 14).double()
    got = vit.position_embedding(out, out)
    want = plain.positions(vit.pos_embed, 14, out, out)
    torch.testing.assert_close(got[0], want, rtol=1e-9, atol=1e-9)
    assert torch.equal(got[0, 0], vit.pos_embed[0, 0])


def test_position_embedding_keeps_rows_and_columns_apart():
    vit = small(positions=5)
    want = plain.positions(vit.pos_embed, 5, 3, 7)
    torch.testing.assert_close(vit.position_embedding(3, 7)[0], want, rtol=1e-9, atol=1e-9)


def test_position_embedding_is_the_learned_one_at_its_own_size():
    vit = small(positions=5)
    assert torch.equal(vit.position_embedding(5, 5), vit.pos_embed)


@pytest.mark.parametrize(("side", "h", "w"), [(14, 6, 6), (14, 16, 16), (3, 2, 2), (7, 3, 5)])
def test_interpolation_as_a_product_equals_interpolation(side, h, w):
    """As a GPU has it; the CPU interpolates, so both are told apart here."""
    vit, learned = (
        small(positions=side).float(),
        torch.randn(1, side * side, 8, generator=torch.Generator().manual_seed(3)),
    )
    matrix = vit._resize_matrix(h, w)
    want = resized(learned.reshape(1, side, side, 8).permute(0, 3, 1, 2), h, w).permute(0, 2, 3, 1).reshape(1, h * w, 8)
    torch.testing.assert_close(matrix @ learned, want, rtol=1e-5, atol=1e-6)
    assert vit._resize_matrix(h, w) is matrix  # made once
    assert matrix.dtype == torch.float32 and not matrix.requires_grad and not matrix.is_inference()


def test_the_matrix_serves_training_also_where_inference_asked_for_it_first():
    vit = small()
    with torch.inference_mode():
        vit._resize_matrix(2, 2)
    (vit._resize_matrix(2, 2) @ vit.pos_embed[:, 1:]).sum().backward()
    assert vit.pos_embed.grad[:, 1:].any()


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("tokens", [10, 70])  # matrix products, and the fused kernel
def test_attention_on_views_equals_attention_on_copies(tokens, masked):
    generator = torch.Generator().manual_seed(4)
    qkv = torch.randn(2, tokens, 3 * 2 * 4, dtype=torch.float64, generator=generator)
    mask = torch.rand(2, 1, 1, tokens, generator=generator) < 0.5 if masked else None
    found = []
    for copied in (True, False):
        leaf = qkv.clone().requires_grad_()
        out = attention(*split_heads(leaf, 2, copied), mask)
        out.pow(2).sum().backward()
        found.append((out.detach(), leaf.grad))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-14)
