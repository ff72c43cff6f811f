import math

import numpy as np
import pytest
import torch

from workflow_scripts.core.errors import UserError
from workflow_scripts.slpd.health import check_features, check_targets, effective_rank, entropy, mean_cosine


def features(n: int, d: int, seed: int = 0, offset: float = 0.0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.standard_normal((n, d)) * np.geomspace(1, 0.01, d) + offset).float()


@pytest.mark.parametrize(("n", "d", "offset"), [(50, 7, 0.0), (50, 7, 9.0), (6, 20, 1.0), (300, 64, 0.3)])
def test_effective_rank_by_singular_values(n, d, offset):
    x = features(n, d, offset=offset)
    centred = x.numpy().astype(np.float64)
    share = np.linalg.svd(centred - centred.mean(0), compute_uv=False) ** 2
    share = share[share > 1e-20 * share.max()]
    share /= share.sum()
    assert effective_rank(x) == pytest.approx(np.exp(-(share * np.log(share)).sum()), rel=1e-9)


def test_effective_rank_of_known_spectra():
    corners = torch.cat([torch.eye(5), -torch.eye(5)])  # equal variance in 5 directions
    assert effective_rank(corners) == pytest.approx(5)
    assert effective_rank(corners + 100) == pytest.approx(5)  # the mean does not count
    line = torch.linspace(-1, 1, 30)[:, None] * torch.tensor([[3.0, 4.0, 0.0]])
    assert effective_rank(line) == pytest.approx(1)
    assert effective_rank(torch.full((30, 4), 0.7)) == 1


@pytest.mark.parametrize("offset", [0.0, 2.0])
def test_mean_cosine_pair_by_pair(offset):
    x = features(23, 6, offset=offset)
    total, pairs = 0.0, 0
    for i in range(len(x)):
        for j in range(len(x)):
            if i != j:
                a, b = x[i].tolist(), x[j].tolist()
                dot = sum(p * q for p, q in zip(a, b, strict=True))
                total += dot / math.sqrt(sum(p * p for p in a) * sum(q * q for q in b))
                pairs += 1
    assert mean_cosine(x) == pytest.approx(total / pairs, rel=1e-9, abs=1e-12)


def collapsed_to_a_point(n: int) -> torch.Tensor:
    return torch.randn(1, 8) + 0.005 * features(n, 8)


def collapsed_to_a_line(n: int) -> torch.Tensor:
    point, line = torch.eye(8)[:2]
    return point + 0.1 * torch.randn(n, 1) * line + 0.005 * features(n, 8)


@pytest.mark.parametrize("make", [collapsed_to_a_point, collapsed_to_a_line])
def test_collapse_is_refused_with_place_state_and_knobs(make):
    torch.manual_seed(1)
    with pytest.raises(UserError) as caught:
        check_features(make(40), "epoch 12", "scratch/abc.safetensors")
    message = str(caught.value)
    for part in ("epoch 12", "scratch/abc.safetensors", "optimiser.lr", "loss.teacher_temp", "loss.center_momentum"):
        assert part in message
    assert "\n" not in message
    check_features(make(15), "epoch 12")  # too few regions to say


def test_two_clear_kinds_of_regions_are_no_collapse():
    kinds = torch.eye(8)[torch.arange(200) % 2] + 0.02 * features(200, 8)
    assert effective_rank(kinds) < 1.5
    check_features(kinds, "epoch 1")


def test_features_that_differ_pass():
    check_features(features(40, 8, offset=1.0), "epoch 1")
    # a strong common part alone is no collapse
    x = features(200, 8, offset=5.0)
    assert mean_cosine(x) > 0.98
    check_features(x, "epoch 1")


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("n", [3, 40])
def test_non_finite_features_are_refused(value, n):
    x = features(n, 8)
    x[2, 3] = value
    with pytest.raises(UserError, match="no numbers"):
        check_features(x, "epoch 1")


def entropies(logits: torch.Tensor) -> tuple[float, float]:
    """Mean entropy of the rows' distributions, and entropy of their mean."""
    p = logits.double().softmax(1)
    mean = p.mean(0)
    return -(p * p.log()).sum(1).mean().item(), -(mean * mean.log()).sum().item()


def test_targets_of_each_kind():
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(256, 128, generator=generator)
    assert check_targets(*entropies(2 * noise), 128) is None
    assert check_targets(*entropies(30 * noise), 128) is None  # sharp, but each region its own
    one_unit = 0.1 * noise + 15 * torch.eye(128)[3]
    assert "same one output unit" in check_targets(*entropies(one_unit), 128)
    assert "uniform" in check_targets(*entropies(0.01 * noise), 128)
    alike = torch.randn(1, 128, generator=generator) + 0.01 * noise
    assert "alike" in check_targets(*entropies(alike), 128)
    assert check_targets(*entropies(one_unit[:, :32]), 32) is None  # too few units to say
    assert "no numbers" in check_targets(math.nan, 1.0, 128)
    assert "no numbers" in check_targets(1.0, math.inf, 128)


def test_entropy_of_known_distributions():
    assert entropy(torch.full((2, 8), 1 / 8)).tolist() == pytest.approx([math.log(8)] * 2, rel=1e-6)
    assert entropy(torch.eye(4)).tolist() == [0] * 4
    assert entropy(torch.tensor([0.25, 0.75])).item() == pytest.approx(
        -0.25 * math.log(0.25) - 0.75 * math.log(0.75), rel=1e-6
    )
