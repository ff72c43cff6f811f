"""Prototypes as targets: which of them a region distils."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from workflow_scripts.config import Loss
from workflow_scripts.slpd.head import DinoHead
from workflow_scripts.slpd.neighbours import SlideNeighbours
from workflow_scripts.slpd.prototypes import SlidePrototypes
from workflow_scripts.slpd.soft_targets import mixtures


class PrototypeTargets:
    """For every region, the prototypes it distils: its own, and the matched ones of the nearest slides.

    `vectors[index[0]]` is the own prototype of each region (L_intra), `vectors[index[1:]]` the neighbours'
    (L_inter). `index` is int64 `[1 + R, N]` on the CPU, -1 where there is none; `vectors` `[P, d]` is on the device.
    `weights` float32 `[1 + R, N]` on the CPU is what each counts beside a region's others of the same term.

    Args:
        prototypes: of all slides, or of the cohort.
        neighbours: of all slides.
        slide_index: int64 `[N]`, the row of `prototypes.vectors` that each region belongs to.
        device: of the training.
        neighbour_temp: `loss.neighbour_temp`.
        shares: float `[N, M]`, which mixture of its slide's prototypes a region distils, see slpd/soft_targets.py;
            None where it distils the one that it is assigned to.
    """

    def __init__(
        self,
        prototypes: SlidePrototypes,
        neighbours: SlideNeighbours,
        slide_index: np.ndarray,
        device: torch.device,
        neighbour_temp: float = 0.0,
        shares: np.ndarray | None = None,
    ) -> None:
        _, m, d = prototypes.vectors.shape
        own = prototypes.assignment
        slide = np.asarray(slide_index)
        rows = [np.where(own >= 0, slide * m + own, -1)]
        for rank in range(neighbours.index.shape[1]):
            other = neighbours.index[slide, rank]
            matched = neighbours.matching[slide, rank, np.maximum(own, 0)]
            rows.append(np.where((own >= 0) & (other >= 0), other * m + matched, -1))
        index, vectors = np.stack(rows), prototypes.vectors.reshape(-1, d)
        if shares is not None:
            vectors = mixtures(prototypes.vectors, neighbours, slide, shares, index >= 0)
            index = np.where(index >= 0, np.arange(index.size).reshape(index.shape), -1)
        self.index = torch.from_numpy(index)
        self.vectors = torch.from_numpy(vectors).to(device)
        weights = np.ones_like(neighbours.similarity)
        if neighbour_temp > 0:
            weights = np.exp((neighbours.similarity - neighbours.similarity[:, :1]) / (m * neighbour_temp))
        rows_of = np.concatenate([np.ones((1, len(own))), weights[slide].T])
        self.weights = torch.from_numpy(rows_of.astype(np.float32))


class TargetRows(NamedTuple):
    """Which prototypes the regions of a batch distil, before any arithmetic; see `target_rows`.

    Attributes:
        places: int64 `[T, B]` rows of `PrototypeTargets.vectors`; any row where there is no target.
        present: bool `[T, B]`.
        counts: int64 `[2]` regions that have a target in row 0, and in the rows after it.
        weights: float32 `[T, B]`, see `PrototypeTargets`.
    """

    places: Tensor
    present: Tensor
    counts: Tensor
    weights: Tensor


@dataclass(frozen=True)
class BatchTargets:
    """The prototype targets of a step's batch, before the teacher's last layer.

    Attributes:
        z: `[T, B, d]` unit bottleneck features; row 0 the own prototypes, the others the neighbours'.
        present: bool `[T, B]` on the device.
        n_own: regions of the batch that have a target in row 0; an int64 scalar on the device.
        n_neighbours: regions of the batch that have a target in the rows after it; likewise.
        weights: float32 `[T, B]` on the device, see `PrototypeTargets`.
    """

    z: Tensor
    present: Tensor
    n_own: Tensor
    n_neighbours: Tensor
    weights: Tensor


def target_rows(targets: PrototypeTargets, batch: Tensor, loss: Loss) -> TargetRows:
    """Targets of the regions `batch`, int64 `[B]`; all on the CPU.

    Targets that no term of a weight above 0 takes have no part at all, not even in a centre.
    """
    index = targets.index[:, batch]
    wanted = [loss.uses("own")] + [loss.uses("neighbours")] * (len(index) - 1)
    present = (index >= 0) & torch.tensor(wanted)[:, None]
    counts = torch.stack([present[0].sum(), present[1:].any(dim=0).sum()])
    return TargetRows(index.clamp(min=0), present, counts, targets.weights[:, batch])


def batch_targets(targets: PrototypeTargets, rows: TargetRows, head: DinoHead, raw: bool) -> BatchTargets:
    """The targets of a batch, on the device.

    Args:
        targets: of all regions.
        rows: of the batch, on the device of `targets.vectors`.
        head: the teacher's.
        raw: the prototypes are backbone features, which pass the head's layers first.
    """
    vectors = targets.vectors[rows.places]
    if raw:
        vectors = head.project(vectors.flatten(0, 1)).unflatten(0, rows.places.shape)
    n_own, n_neighbours = rows.counts.unbind()
    return BatchTargets(vectors.to(head.last_layer.dtype), rows.present, n_own, n_neighbours, rows.weights)
