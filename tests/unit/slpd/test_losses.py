"""The losses against means over plain loops."""

import pytest
import torch

from workflow_scripts.config import Loss
from workflow_scripts.core.loss_terms import TERMS
from workflow_scripts.slpd.losses import TargetPairs, prototype_loss, self_loss
from workflow_scripts.slpd.step_losses import FUNCTIONS


def table(t: int, v: int, b: int, seed: int = 0) -> torch.Tensor:
    """Cross-entropies of T targets with V crops of B regions."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(t, v, b, dtype=torch.float64, generator=generator).requires_grad_()


def of_crops(cross: torch.Tensor, regions: int) -> torch.Tensor:
    present = torch.ones(len(cross), cross.shape[2], dtype=torch.bool)
    return self_loss(TargetPairs(cross, present, torch.tensor(regions)), Loss())


def of_prototypes(cross: torch.Tensor, present: torch.Tensor, regions: int, skip: bool = False) -> torch.Tensor:
    return prototype_loss(TargetPairs(cross, present, torch.tensor(regions)), Loss(skip_same_index=skip))


@pytest.mark.parametrize(("g", "v", "b"), [(2, 10, 3), (2, 2, 1), (3, 5, 2)])
def test_self_loss_is_the_mean_over_pairs_of_different_crops(g, v, b):
    cross = table(g, v, b)
    terms = [cross[i, j, r].item() for i in range(g) for j in range(v) for r in range(b) if i != j]
    assert of_crops(cross, b).item() == pytest.approx(sum(terms) / len(terms))


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("share", [1.0, 0.5])
@pytest.mark.parametrize("t", [1, 3])
def test_prototype_loss_is_the_mean_over_regions_of_means_over_pairs(t, share, skip):
    cross = table(t, 4, 6)
    present = torch.rand(t, 6, generator=torch.Generator().manual_seed(4)) < share
    present[:, 0] = share == 1
    regions = []
    for r in range(6):
        terms = [cross[i, j, r].item() for i in range(t) for j in range(4) if present[i, r] and not (skip and i == j)]
        if terms:
            regions.append(sum(terms) / len(terms))
    got = of_prototypes(cross, present, len(regions), skip)
    assert got.item() == pytest.approx(sum(regions) / len(regions))


@pytest.mark.parametrize("skip", [False, True])
def test_targets_of_a_region_count_by_their_weights(skip):
    cross, weights = table(3, 4, 5), table(3, 5, 1, seed=1)[..., 0].detach()
    present = torch.rand(3, 5, generator=torch.Generator().manual_seed(4)) < 0.7
    regions = []
    for r in range(5):
        terms = [(i, j) for i in range(3) for j in range(4) if present[i, r] and not (skip and i == j)]
        if terms:
            total = sum(weights[i, r].item() for i, _ in terms)
            regions.append(sum(weights[i, r].item() * cross[i, j, r].item() for i, j in terms) / total)
    pairs = TargetPairs(cross, present, torch.tensor(len(regions)), weights)
    got = prototype_loss(pairs, Loss(skip_same_index=skip))
    assert got.item() == pytest.approx(sum(regions) / len(regions))
    alike = pairs.__class__(cross, present, pairs.regions, torch.full_like(weights, 3.0))
    assert prototype_loss(alike, Loss()).item() == pytest.approx(of_prototypes(cross, present, len(regions)).item())


def test_parts_of_a_batch_add_up():
    cross, present = table(3, 5, 8), torch.rand(3, 8, generator=torch.Generator().manual_seed(2)) < 0.6
    count = int(present.any(dim=0).sum())
    for cut in (0, 1, 5, 8):
        parts = [of_prototypes(cross[..., p], present[:, p], count) for p in (slice(cut), slice(cut, None))]
        assert sum(parts).item() == pytest.approx(of_prototypes(cross, present, count).item())
        parts = [of_crops(cross[..., p], 8) for p in (slice(cut), slice(cut, None))]
        assert sum(parts).item() == pytest.approx(of_crops(cross, 8).item())


@pytest.mark.parametrize("t", [0, 2])
def test_prototype_loss_without_any_target_is_zero_with_zero_gradient(t):
    cross = table(t, 4, 3)
    loss = of_prototypes(cross, torch.zeros(t, 3, dtype=torch.bool), 0)
    assert loss.item() == 0
    assert not torch.autograd.grad(loss, cross)[0].any()


def test_absent_targets_do_not_count_even_when_they_are_not_finite():
    cross = table(2, 3, 4)
    present = torch.tensor([[True, False, True, False], [False, True, True, False]])
    other = torch.where(present[:, None], cross.detach(), float("nan")).requires_grad_()
    assert of_prototypes(cross, present, 3) == of_prototypes(other, present, 3)
    assert torch.isfinite(torch.autograd.grad(of_prototypes(other, present, 3), other)[0]).all()


def test_every_term_has_its_weight_and_every_weight_its_term():
    weights = [name for name in Loss.model_fields if name.endswith("_weight")]
    assert sorted(term.weight for term in TERMS) == sorted(weights)
    assert len({term.name for term in TERMS}) == len(TERMS) == len(FUNCTIONS)
