"""The losses of SLPD as means over cross-entropies.

Notation: T targets, V crops, B regions, C output units. `cross` `[T, V, B]` holds the cross-entropy of every target
with every crop of its region (slpd.cross_entropy); a loss is a mean over some of its entries. Sums are divided by
counts of the whole step's batch, so that parts of a batch, on one device or many, add up to the loss of the step.
"""

import torch
from torch import Tensor


def self_loss(cross: Tensor, batch: int) -> Tensor:
    """L_self: DINO's loss, mean over all pairs of a teacher's global crop and another crop, and over regions.

    Args:
        cross: `[G, V, B]`, targets from the G global crops, the student's same G crops first.
        batch: regions of the whole step.
    """
    g, v, _ = cross.shape
    same = torch.stack([cross[i, i] for i in range(g)])
    return (cross.sum() - same.sum()) / (batch * g * (v - 1))


def prototype_loss(cross: Tensor, present: Tensor, regions: int, skip_same_index: bool = False) -> Tensor:
    """L_intra or L_inter: prototype targets against all crops.

    Every crop of a region is compared with every one of its targets. With `skip_same_index`, target t leaves out
    crop t, as in the official code, where DINO's rule for targets that are crops themselves was kept
    (docs/method.md, row 5).

    Args:
        cross: `[T, V, B]`.
        present: bool `[T, B]`, False where a region has no such target.
        regions: regions of the whole step that have a target.

    Returns:
        Scalar: sum over regions of the mean over crops and a region's targets, over `regions`; 0 where none has one.
    """
    t, v, _ = cross.shape
    pairs = present[:, None, :].expand(t, v, -1)
    if skip_same_index:
        other = torch.arange(t, device=cross.device)[:, None] != torch.arange(v, device=cross.device)
        pairs = pairs & other[:, :, None]
    count = pairs.sum(dim=(0, 1)).clamp(min=1)
    # where, not a product: an absent target's entry may be anything
    per_region = torch.where(pairs, cross, 0.0).sum(dim=(0, 1)) / count
    return per_region.sum() / max(regions, 1)
