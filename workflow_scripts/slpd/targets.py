"""Prototypes as targets: which of them a region distils, and the centres of their logits."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from workflow_scripts.config import Loss
from workflow_scripts.slpd.head import DinoHead
from workflow_scripts.slpd.neighbours import SlideNeighbours
from workflow_scripts.slpd.prototypes import SlidePrototypes
from workflow_scripts.slpd.tokens import on_device


class PrototypeTargets:
    """For every region, the prototypes it distils: its own, and the matched ones of the nearest slides.

    `vectors[index[0]]` is the own prototype of each region (L_intra), `vectors[index[1:]]` the neighbours'
    (L_inter). `index` is int64 `[1 + R, N]` on the CPU, -1 where there is none; `vectors` `[P, d]` is on the device.
    """

    def __init__(
        self, prototypes: SlidePrototypes, neighbours: SlideNeighbours, slide_index: np.ndarray, device: torch.device
    ) -> None:
        _, m, d = prototypes.vectors.shape
        own = prototypes.assignment
        slide = np.asarray(slide_index)
        rows = [np.where(own >= 0, slide * m + own, -1)]
        for rank in range(neighbours.index.shape[1]):
            other = neighbours.index[slide, rank]
            matched = neighbours.matching[slide, rank, np.maximum(own, 0)]
            rows.append(np.where((own >= 0) & (other >= 0), other * m + matched, -1))
        self.index = torch.from_numpy(np.stack(rows))
        self.vectors = torch.from_numpy(prototypes.vectors.reshape(-1, d)).to(device)


@dataclass(frozen=True)
class BatchTargets:
    """The prototype targets of a step's batch, before the teacher's last layer.

    Attributes:
        z: `[T, B, d]` unit bottleneck features; row 0 the own prototypes, the others the neighbours'.
        present: bool `[T, B]` on the device.
        n_intra, n_inter: regions of the batch that have a target in row 0, and in the rows after it.
        counts: present entries in row 0, and in the rows after it.
    """

    z: Tensor
    present: Tensor
    n_intra: int
    n_inter: int
    counts: tuple[int, int]

    def mean_z(self, rows: slice) -> Tensor:
        """Mean `[d]` of the targets that are present in `rows`; 0 where none is."""
        weights = self.present[rows].to(self.z.dtype)
        return torch.einsum("tb,tbd->d", weights, self.z[rows]) / weights.sum().clamp(min=1)


def batch_targets(targets: PrototypeTargets, batch: Tensor, head: DinoHead, loss: Loss, raw: bool) -> BatchTargets:
    """Targets of the regions `batch`, int64 `[B]` on the CPU.

    Args:
        targets: of all regions.
        batch: the regions.
        head: the teacher's.
        loss: a loss of weight 0 takes no part at all, not even in a centre.
        raw: the prototypes are backbone features, which pass the head's layers first.
    """
    index = targets.index[:, batch]
    wanted = [loss.intra_weight > 0] + [loss.inter_weight > 0] * (len(index) - 1)
    present = (index >= 0) & torch.tensor(wanted)[:, None]
    device = targets.vectors.device
    vectors = targets.vectors[on_device(device, index.clamp(min=0))]
    if raw:
        vectors = head.project(vectors.flatten(0, 1)).unflatten(0, index.shape)
    inter = present[1:]
    return BatchTargets(
        z=vectors.to(head.last_layer.dtype),
        present=on_device(device, present),
        n_intra=int(present[0].sum()),
        n_inter=int(inter.any(dim=0).sum()),
        counts=(int(present[0].sum()), int(inter.sum())),
    )


def moved(center: Tensor, mean: Tensor, momentum: float, count: int) -> Tensor:
    """Moving mean `center * momentum + mean * (1 - momentum)`; it stays where there was nothing to average."""
    return center * momentum + mean * (1 - momentum) if count else center


def prototype_centers(
    batch: BatchTargets, directions: Tensor, center: Tensor, self_center: Tensor, loss: Loss
) -> tuple[Tensor, Tensor, Tensor]:
    """Centres that this step subtracts from the prototypes' logits, and the centre that the next step starts from.

    Logits are linear in z, so the mean of all targets' logits is the last layer applied to their mean z.

    Args:
        batch: targets of the whole step.
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
    n_intra, n_inter = batch.counts
    if kind == "joint":
        mean = directions @ batch.mean_z(slice(None))
        return center, center, moved(center, mean, momentum, n_intra + n_inter)
    intra_mean = directions @ batch.mean_z(slice(0, 1))
    inter_mean = directions @ batch.mean_z(slice(1, None))
    if kind == "separate":
        new = [moved(center[0], intra_mean, momentum, n_intra), moved(center[1], inter_mean, momentum, n_inter)]
        return center[0], center[1], torch.stack(new)
    after_intra = moved(center, intra_mean, momentum, n_intra)  # shared: L_inter sees what L_intra has changed
    return center, after_intra, moved(after_intra, inter_mean, momentum, n_inter)
