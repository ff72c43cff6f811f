"""The functions of the loss's terms: means over cross-entropies of targets with crops.

Notation: T targets, V crops, B regions. Sums are divided by counts of the whole step's batch, so that parts of a batch,
on one device or many, add up to the loss of the step. `core.loss_terms` lists the terms with their targets.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from workflow_scripts.config import Loss


@dataclass(frozen=True)
class TargetPairs:
    """What a term is computed from: its targets paired with all of the student's crops, for a part of the batch.

    Attributes:
        cross: `[T, V, B]` cross-entropy of every target with every crop of its region (slpd.cross_entropy). The
            student's global crops come first; where targets are the teacher's view of them, in the same order.
        present: bool `[T, B]`, False where a region has no such target; its cross-entropies may be anything.
        regions: regions of the whole step that have a target; an int64 scalar on the device, for the host does not
            wait for it: write `pairs.regions.clamp(min=1)` and no `max`.
        weights: `[T, B]`, what each target of a region counts beside its others; None where all count alike.
    """

    cross: Tensor
    present: Tensor
    regions: Tensor
    weights: Tensor | None = None


def self_loss(pairs: TargetPairs, loss: Loss) -> Tensor:
    """L_self: DINO's loss, mean over all pairs of a teacher's global crop and another crop, and over regions.

    Args:
        pairs: of the teacher's global crops; every region has all.
        loss: settings, none of which it reads.
    """
    cross = pairs.cross
    g, v, _ = cross.shape
    same = torch.stack([cross[i, i] for i in range(g)])
    return (cross.sum() - same.sum()) / (pairs.regions * g * (v - 1))


def prototype_loss(pairs: TargetPairs, loss: Loss) -> Tensor:
    """L_intra or L_inter: prototype targets against all crops.

    Every crop of a region is compared with every one of its targets. With `skip_same_index`, target t leaves out
    crop t, as in the official code, where DINO's rule for targets that are crops themselves was kept
    (docs/method.md, row 5).

    Args:
        pairs: of the own or of the neighbours' prototypes.
        loss: settings, `skip_same_index` among them.

    Returns:
        Scalar: sum over regions of the mean over crops and a region's targets, by the targets' weights, over the
        step's regions that have one; 0 where none has.
    """
    cross, (t, v, _) = pairs.cross, pairs.cross.shape
    counted = pairs.present[:, None, :].expand(t, v, -1)
    if loss.skip_same_index:
        other = torch.arange(t, device=cross.device)[:, None] != torch.arange(v, device=cross.device)
        counted = counted & other[:, :, None]
    weights = counted if pairs.weights is None else counted * pairs.weights[:, None, :]
    total = weights.sum(dim=(0, 1))
    # where, not a product: an absent target's entry may be anything
    per_region = (torch.where(counted, cross, 0.0) * weights).sum(dim=(0, 1)) / torch.where(total > 0, total, 1)
    return per_region.sum() / pairs.regions.clamp(min=1)
