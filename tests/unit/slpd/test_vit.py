import numpy as np
import pytest
import torch

from workflow_scripts.slpd.vit import DropPath, RegionViT

from . import plain


def small(seed: int = 0, positions: int = 3, drop_path: float = 0.0) -> RegionViT:
    torch.manual_seed(seed)
    vit = RegionViT(5, 8, 2, 2, 2.0, drop_path, positions).double().eval()
    for parameter in vit.parameters():  # no zero biases, no all-ones norms: every parameter must matter
        parameter.data += 0.3 * torch.randn_like(parameter)
    return vit


def test_paper_setting_has_its_number_of_parameters():
    vit = RegionViT(384, 192, 6, 6, 4.0, 0.1, 14)
    assert sum(p.numel() for p in vit.parameters()) == 2_781_504


def test_initialisation_is_dinos():
    torch.manual_seed(0)
    vit = RegionViT(384, 192, 2, 6, 4.0, 0.1, 14)
    for name, parameter in vit.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any(), name
        elif "norm" in name:
            assert (parameter == 1).all(), name
        elif parameter.numel() > 10_000:
            assert parameter.std().item() == pytest.approx(0.02, rel=0.05), name
            assert abs(parameter.mean().item()) < 0.001, name


def test_drop_path_rises_linearly_over_the_blocks():
    rates = [block.drop_path.rate for block in RegionViT(4, 12, 6, 2, 1.0, 0.1, 3).blocks]
    assert rates == pytest.approx(np.linspace(0, 0.1, 6).tolist())


def test_drop_path_drops_whole_samples_and_keeps_the_mean():
    torch.manual_seed(0)
    drop = DropPath(0.25).train()
    out = drop(torch.ones(20_000, 2, 3))
    per_sample = out.flatten(1)
    assert (per_sample == per_sample[:, :1]).all()
    assert per_sample[:, 0].unique().tolist() == pytest.approx([0, 4 / 3])
    assert out.mean().item() == pytest.approx(1.0, abs=0.02)
    assert torch.equal(drop.eval()(torch.ones(4, 2, 3)), torch.ones(4, 2, 3))


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
    vit = RegionViT(4, 8, 1, 2, 1.0, 0.0, 14).double()
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
