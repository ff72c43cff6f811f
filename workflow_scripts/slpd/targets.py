"""Prototypes as targets: which of them a region distils."""

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
        n_own: regions of the batch that have a target in row 0.
        n_neighbours: regions of the batch that have a target in the rows after it.
    """

    z: Tensor
    present: Tensor
    n_own: int
    n_neighbours: int


def batch_targets(targets: PrototypeTargets, batch: Tensor, head: DinoHead, loss: Loss, raw: bool) -> BatchTargets:
    """Targets of the regions `batch`, int64 `[B]` on the CPU.

    Args:
        targets: of all regions.
        batch: the regions.
        head: the teacher's.
        loss: targets that no term of a weight above 0 takes have no part at all, not even in a centre.
        raw: the prototypes are backbone features, which pass the head's layers first.
    """
    index = targets.index[:, batch]
    wanted = [loss.uses("own")] + [loss.uses("neighbours")] * (len(index) - 1)
    present = (index >= 0) & torch.tensor(wanted)[:, None]
    device = targets.vectors.device
    vectors = targets.vectors[on_device(device, index.clamp(min=0))]
    if raw:
        vectors = head.project(vectors.flatten(0, 1)).unflatten(0, index.shape)
    return BatchTargets(
        z=vectors.to(head.last_layer.dtype),
        present=on_device(device, present),
        n_own=int(present[0].sum()),
        n_neighbours=int(present[1:].any(dim=0).sum()),
    )
