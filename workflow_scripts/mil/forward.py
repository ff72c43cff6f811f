"""What a network that was trained makes of bags."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from workflow_scripts.mil.attention import Watched
from workflow_scripts.mil.nets.batch import Net, Sizes
from workflow_scripts.mil.objectives import Objective
from workflow_scripts.mil.packing import Cohort, deal_to_jobs, pack

PREDICTED = 4096  # instances predicted together


@dataclass(frozen=True)
class Plan:
    """What is trained.

    Attributes:
        net: class of the network.
        sizes: its sizes; the number of jobs is set for each stack.
        dropout: share of the embedding's values.
        weight_decay: of Adam.
        objective: of the kind of task.
    """

    net: type[Net]
    sizes: Sizes
    dropout: float
    weight_decay: float
    objective: Objective

    def network(self, jobs: int, device: torch.device) -> Net:
        """A new network of so many jobs."""
        return self.net(replace(self.sizes, jobs=jobs)).to(device)


def predict(
    plan: Plan,
    cohort: Cohort,
    weights: dict[str, Tensor],
    scale: tuple[Tensor, Tensor],
    chosen: np.ndarray,
    watched: Watched | None = None,
) -> np.ndarray:
    """Logits float64 `[n, C]` of bags by one job's weights; every instance of a bag is used.

    Args:
        plan: the network.
        cohort: all bags.
        weights: of the job, by name.
        scale: mean and inverse deviation, each `[1, D]`.
        chosen: bags to predict, int64 `[n]`, each once.
        watched: where the attention to their instances is added up, of a network that has some.
    """
    net = plan.network(1, cohort.x.device)
    for name, value in net.named_parameters():
        value.data = weights[name]
    order = np.argsort(-cohort.counts[chosen], kind="stable")  # bags of like size side by side
    found: np.ndarray = np.empty((len(chosen), plan.objective.outputs))
    with torch.no_grad():
        for part in _shares(cohort.counts[chosen][order]):
            own = chosen[order[part]][None]
            parts = deal_to_jobs(cohort.counts[own], net.parts, net.padded, [None]) if net.parts else None
            batch = pack(cohort, own, scale, net.padded, parts)
            output = net(batch)
            found[order[part]] = output.logits[0].double().cpu().numpy()
            if watched and output.attention is not None:
                _watch(watched, own[0], output.attention[0], batch.block[0])
    return found


def _watch(watched: Watched, bags: np.ndarray, attention: Tensor, block: Tensor) -> None:
    """Add the attention of bags `[B]`, `[B, T]`, to the instances that are theirs, bool `[B, T]`."""
    weights, inside = attention.cpu().numpy(), block.cpu().numpy()
    for place in np.flatnonzero(np.isin(bags, watched.bags)):
        watched.sums.add(int(bags[place]), weights[place][inside[place]])


def _shares(counts: np.ndarray) -> Iterator[slice]:
    """Slices of bags, largest first, that have about `PREDICTED` slots when padded to the first of them."""
    start = 0
    while start < len(counts):
        stop = start + max(1, PREDICTED // int(counts[start]))
        yield slice(start, min(stop, len(counts)))
        start = stop
