"""Centres: running means of logits, subtracted before the teacher's softmax against collapse (DINO, arXiv 2104.14294).

A state keeps two. The centre of L_self, `[C]`, follows the teacher's logits of all global crops. The prototypes' centre
follows the logits of the prototypes that are distilled: `[C]`, or `[2, C]` with one each for L_intra and L_inter;
`pretrain.defaults.loss.proto_center` chooses the kind. Both start at 0, are subtracted by `sharpen` and moved once a
step from the whole batch, by `moved_self_center` and `prototype_centers`. Logits are linear in the unit feature z, so
the mean of logits is the last layer applied to the mean z. With `sinkhorn` the prototypes have no running centre: what
is subtracted is found anew in each batch.
"""

import torch
from torch import Tensor

from workflow_scripts.config import Loss

_SINKHORN = 3  # iterations, as published by SwAV


def fitted(center: Tensor, kind: str) -> Tensor:
    """A prototypes' centre in the shape that `proto_center: kind` keeps: `[2, C]` where it is separate.

    A warm-up has one centre `[C]`, which it does not move, and is shared by runs of all kinds.
    """
    return center.repeat(2, 1) if kind == "separate" and center.ndim == 1 else center


def sharpen(logits: Tensor, center: Tensor, temperature: float) -> Tensor:
    """Centred and sharpened teacher probabilities: softmax((logits - center) / temperature)."""
    return ((logits - center) / temperature).softmax(dim=-1)


def moved(center: Tensor, mean: Tensor, momentum: float, count: Tensor) -> Tensor:
    """Moving mean of a centre, which stays where `count`, a scalar on its device, is 0: nothing was averaged."""
    return torch.where(count > 0, _moved(center, mean, momentum), center)


def _moved(center: Tensor, mean: Tensor, momentum: float) -> Tensor:
    return center * momentum + mean * (1 - momentum)


def moved_self_center(center: Tensor, directions: Tensor, features: Tensor, count: int, momentum: float) -> Tensor:
    """The centre `[C]` of L_self that the next step starts from.

    Args:
        center: `[C]`, that of this step.
        directions: `[C, d]` unit rows of the teacher's last layer.
        features: `[d]` sum of the teacher's unit features of all global crops of the batch.
        count: number of these crops, at least 1.
        momentum: `loss.center_momentum`.
    """
    return _moved(center, directions @ (features / count), momentum)


def _mean(z: Tensor, present: Tensor) -> Tensor:
    """Mean `[d]` of the targets `[T, B, d]` that are present, bool `[T, B]`; 0 where none is."""
    weights = present.to(z.dtype)
    return torch.einsum("tb,tbd->d", weights, z) / weights.sum().clamp(min=1)


def balancing_center(z: Tensor, present: Tensor, directions: Tensor, temperature: float) -> Tensor:
    """What to subtract from the logits of a batch's targets, `[C]`, so that `sharpen` uses all output units alike.

    The Sinkhorn-Knopp iteration of SwAV (arXiv 2006.09882): probabilities of units and of targets are normalised in
    turn. Normalising a unit is subtracting from its logits, so the result is a centre. Takes `[T * B, C]` at once.

    Args:
        z: `[T, B, d]` unit features of the step's targets.
        present: bool `[T, B]`.
        directions: `[C, d]` unit rows of the teacher's last layer.
        temperature: of the teacher's softmax.
    """
    scores = z.flatten(0, 1) @ directions.T / temperature
    counted = present.flatten()
    absent = torch.zeros_like(scores[:, :1]).masked_fill(~counted[:, None], float("-inf"))
    offset = (scores + absent).logsumexp(dim=0)
    for _ in range(_SINKHORN - 1):
        total = (scores - offset).logsumexp(dim=1, keepdim=True)
        offset = (scores - total + absent).logsumexp(dim=0)
    return torch.where(counted.any(), offset * temperature, torch.zeros_like(offset))


def prototype_centers(
    z: Tensor,
    present: Tensor,
    regions: tuple[Tensor, Tensor],
    directions: Tensor,
    center: Tensor,
    self_center: Tensor,
    loss: Loss,
) -> tuple[Tensor, Tensor, Tensor]:
    """Centres that this step subtracts from the prototypes' logits, and the centre that the next step starts from.

    Args:
        z: `[T, B, d]` unit features of the step's targets; row 0 the own prototypes, the others the neighbours'.
        present: bool `[T, B]`, False where a region has no such target.
        regions: regions of the batch that have a target in row 0, and in the rows after it; scalars on the device.
        directions: `[C, d]` unit rows of the teacher's last layer.
        center: state of the prototypes' centre: `[C]`, with `proto_center: separate` `[2, C]`.
        self_center: `[C]` centre of L_self.
        loss: `proto_center` says which kind, see config.Loss.

    Returns:
        the centre of L_intra `[C]`, that of L_inter `[C]`, the new state.
    """
    kind, momentum = loss.proto_center, loss.center_momentum
    if kind == "none":
        zero = torch.zeros_like(self_center)
        return zero, zero, center
    if kind == "dino":
        return self_center, self_center, center
    if kind == "sinkhorn":
        balancing = balancing_center(z, present, directions, loss.teacher_temp)
        return balancing, balancing, center
    n_intra, n_inter = regions
    if kind == "joint":
        mean = directions @ _mean(z, present)
        return center, center, moved(center, mean, momentum, n_intra + n_inter)
    intra_mean = directions @ _mean(z[:1], present[:1])
    inter_mean = directions @ _mean(z[1:], present[1:])
    if kind == "separate":
        new = [moved(center[0], intra_mean, momentum, n_intra), moved(center[1], inter_mean, momentum, n_inter)]
        return center[0], center[1], torch.stack(new)
    after_intra = moved(center, intra_mean, momentum, n_intra)  # shared: L_inter sees what L_intra has changed
    return center, after_intra, moved(after_intra, inter_mean, momentum, n_inter)
