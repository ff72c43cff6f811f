"""Bags of several jobs side by side, as networks take them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from workflow_scripts.mil.bags import Bags, bag_lengths
from workflow_scripts.mil.nets.batch import Batch


@dataclass(frozen=True)
class Cohort:
    """All bags' instances on the device, and what scaling needs of each bag.

    Attributes:
        x: instances of all bags, `[sum m_i, D]`, float32, or float16 where they are stored so.
        starts: first row of each bag, int64 `[n]`.
        counts: instances of each bag, int64 `[n]`.
        means: float64 `[n, D]`, of each bag's instances.
        squares: float64 `[n, D]`, sums of squared deviations from them.
    """

    x: Tensor
    starts: np.ndarray
    counts: np.ndarray
    means: np.ndarray
    squares: np.ndarray

    def scaling(self, bags: np.ndarray, weights: np.ndarray) -> tuple[Tensor, Tensor]:
        """Mean and inverse deviation of the instances of some bags, each instance with its bag's weight, float32 `[D]`.

        A dimension without spread only loses its mean.
        """
        share = (weights * self.counts[bags])[:, None] / (weights * self.counts[bags]).sum()
        mean = (share * self.means[bags]).sum(axis=0)
        inside = self.squares[bags] / self.counts[bags][:, None]
        variance = (share * (inside + (self.means[bags] - mean) ** 2)).sum(axis=0)
        spread = np.sqrt(variance)
        spread[spread <= 1e-7 * np.abs(mean)] = 1.0  # rounding, as of a constant
        spread[spread == 0] = 1.0
        made = (torch.tensor(value, dtype=torch.float32, device=self.x.device) for value in (mean, 1 / spread))
        return next(made), next(made)


def cohort_of(bags: Bags, device: torch.device) -> Cohort:
    """Instances of all bags on a device, held once; a bag is read when its turn comes."""
    counts, width = bag_lengths(bags.regions), bags.regions[0].shape[1]
    starts = np.cumsum(counts) - counts
    kept = torch.float16 if bags.regions[0].dtype == np.float16 else torch.float32
    x = torch.empty((int(counts.sum()), width), dtype=kept, device=device)
    means, squares = np.empty((len(counts), width)), np.empty((len(counts), width))
    for number, (start, count) in enumerate(zip(starts, counts, strict=True)):
        region = bags.regions[number]
        x[start : start + count] = torch.tensor(region)
        means[number] = region.mean(axis=0, dtype=np.float64)
        squares[number] = ((region - means[number]) ** 2).sum(axis=0)
    return Cohort(x, starts, counts, means, squares)


def pack(
    cohort: Cohort, chosen: np.ndarray, scale: tuple[Tensor, Tensor], padded: bool, parts: np.ndarray | None
) -> Batch:
    """Chosen bags of each job as one batch.

    Args:
        cohort: all bags.
        chosen: bags int64 `[J, B]`.
        scale: mean and inverse deviation, each `[J, D]`.
        padded: whether each bag gets as many slots as the largest has instances; else bags follow each other.
        parts: the part of each slot, int64 `[J, T]`, as `deal_parts` gives them; None where they are not wanted.
    """
    jobs, bags = chosen.shape
    counts = cohort.counts[chosen]
    width = int(counts.max()) if padded else 0
    if padded:
        place = np.broadcast_to(np.arange(width), (jobs, bags, width))
        there = place < counts[..., None]
        rows = (cohort.starts[chosen][..., None] + np.where(there, place, 0)).reshape(jobs, -1)
        owner = np.where(there, np.arange(bags)[:, None], bags).reshape(jobs, -1)
    else:
        rows, owner = _one_after_another(cohort.starts[chosen], counts)
    device = cohort.x.device
    x = cohort.x[torch.from_numpy(rows.ravel()).to(device)].float().view(*rows.shape, -1)
    x.sub_(scale[0].unsqueeze(1)).mul_(scale[1].unsqueeze(1))
    of_bag = torch.from_numpy(owner).to(device)
    block = of_bag.unsqueeze(1) == torch.arange(bags, device=device)[:, None]
    dealt = None if parts is None else torch.from_numpy(parts).to(device)
    return Batch(x, block, of_bag, width, parts=dealt)


def _one_after_another(starts: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the bags' instances and the bag of each slot, int64 `[J, T]`; slots left over repeat a row of no bag."""
    jobs, bags = counts.shape
    length = int(counts.sum(axis=1).max())
    rows, owner = np.zeros((jobs, length), np.int64), np.full((jobs, length), bags, np.int64)
    for job in range(jobs):
        own = np.repeat(np.arange(bags), counts[job])
        first = np.cumsum(counts[job]) - counts[job]
        rows[job, : len(own)] = np.arange(len(own)) - first[own] + starts[job][own]
        rows[job, len(own) :] = starts[job][0]
        owner[job, : len(own)] = own
    return rows, owner


def deal_parts(counts: np.ndarray, parts: int, width: int, random: np.random.Generator | None) -> np.ndarray:
    """The part of each slot of one job's bags, int64 `[T]`, dealt evenly within a bag: in turn, or at random.

    Args:
        counts: instances of each bag `[B]`.
        parts: number of parts.
        width: slots of each bag; 0 where bags follow each other.
        random: None deals in turn.
    """
    slots = [np.arange(count) % parts for count in counts]
    if random is not None:
        slots = [random.permutation(slot) for slot in slots]
    if not width:
        return np.concatenate(slots)
    return np.concatenate([np.pad(slot, (0, width - len(slot))) for slot in slots])


def deal_to_jobs(
    counts: np.ndarray, parts: int, padded: bool, random: Sequence[np.random.Generator | None]
) -> np.ndarray:
    """Parts of the slots of several jobs, int64 `[J, T]`.

    Args:
        counts: instances of each bag `[J, B]`.
        parts: number of parts.
        padded: whether each bag has as many slots as the largest has instances, as in `pack`.
        random: of each job, as in `deal_parts`.
    """
    width = int(counts.max()) if padded else 0
    dealt = [deal_parts(own, parts, width, one) for own, one in zip(counts, random, strict=True)]
    return np.stack([np.pad(own, (0, max(map(len, dealt)) - len(own))) for own in dealt])
