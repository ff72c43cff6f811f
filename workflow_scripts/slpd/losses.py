"""The three losses of SLPD and the centring of targets.

Notation: T targets, V crops, B regions, C output units. With the student's logits s already divided by its
temperature, the cross-entropy of a target distribution Q is logsumexp(s) - <Q, s>, since Q sums to 1. It is
linear in Q and s apart from the log-sum-exp, so pairs of targets and crops are never formed: sums of targets
meet sums of crops, and one log-sum-exp a crop (`lse`) serves all three losses.
"""

import torch
from torch import Tensor


def _inner(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(dim=-1)


def self_loss(targets: Tensor, student: Tensor, lse: Tensor) -> Tensor:
    """L_self: DINO's loss, mean over all pairs of a teacher's global crop and another crop, and over regions.

    Args:
        targets: `[G, B, C]` the teacher's probabilities of the G global crops.
        student: `[V, B, C]` logits over temperature, the same G global crops first.
        lse: `[V, B]` log-sum-exp of `student`.
    """
    g, v = len(targets), len(student)
    cross = g * lse.sum(dim=0) - _inner(targets.sum(dim=0), student.sum(dim=0))  # all G * V pairs
    same = lse[:g].sum(dim=0) - _inner(targets, student[:g]).sum(dim=0)  # a crop with its own target
    return (cross - same).mean() / (g * v - g)


def prototype_loss(targets: Tensor, present: Tensor, student: Tensor, lse: Tensor) -> Tensor:
    """L_intra or L_inter: prototype targets against all crops.

    Every crop of a region is compared with every one of its targets (the official code skips the crop whose
    index equals the target's, a leftover of DINO's same-view rule).

    Args:
        targets: `[T, B, C]` probabilities of T prototypes a region.
        present: bool `[T, B]`, False where a region has no such prototype.
        student: `[V, B, C]` logits over temperature.
        lse: `[V, B]` log-sum-exp of `student`.

    Returns:
        Scalar: mean over crops, over a region's targets, and over the regions that have one; 0 with a
        gradient of 0 where none has.
    """
    weights = present.to(student.dtype)
    count = weights.sum(dim=0)
    target = torch.einsum("tb,tbc->bc", weights, targets) / count.clamp(min=1)[:, None]
    has = (count > 0).to(student.dtype)
    per_region = has * lse.mean(dim=0) - _inner(target, student.mean(dim=0))
    return per_region.sum() / has.sum().clamp(min=1)


def sharpen(logits: Tensor, center: Tensor, temperature: float) -> Tensor:
    """Centred and sharpened teacher probabilities: softmax((logits - center) / temperature)."""
    return ((logits - center) / temperature).softmax(dim=-1)


def update_center(center: Tensor, logits: Tensor, present: Tensor | None, momentum: float) -> Tensor:
    """Moving mean of target logits `[T, B, C]`; entries not `present` do not count, and with none it stays.

    Returns:
        The new centre `[C]`.
    """
    if present is None:
        mean = logits.flatten(0, 1).mean(dim=0)
        return center * momentum + mean * (1 - momentum)
    weights = present.to(logits.dtype)
    count = weights.sum()
    mean = torch.einsum("tb,tbc->c", weights, logits) / count.clamp(min=1)
    return torch.where(count > 0, center * momentum + mean * (1 - momentum), center)


def entropy(probabilities: Tensor) -> Tensor:
    """Mean entropy (nats) of distributions `[..., C]`; near 0 or near log C it tells of collapse."""
    return -(probabilities * probabilities.clamp(min=1e-12).log()).sum(dim=-1).mean()
