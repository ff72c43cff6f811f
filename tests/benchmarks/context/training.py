"""One pretraining run over a planted cohort, in process, by the functions that the commands call."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.benchmarks.context.cohort import Cohort
from workflow_scripts.config import PretrainRun
from workflow_scripts.core.seeds import derive_seed
from workflow_scripts.slpd.agreement import adjusted_rand_indices, mean_agreement
from workflow_scripts.slpd.centers import sharpen
from workflow_scripts.slpd.crops import centre_window
from workflow_scripts.slpd.health import effective_rank, entropy
from workflow_scripts.slpd.moving_prototypes import moving_prototypes
from workflow_scripts.slpd.neighbours import SlideNeighbours, find_neighbours
from workflow_scripts.slpd.prototypes import SlidePrototypes, cluster_cohort, cluster_slides, owners
from workflow_scripts.slpd.soft_shares import prototype_shares
from workflow_scripts.slpd.state import TrainState, load_state, new_state, save_state
from workflow_scripts.slpd.targets import PrototypeTargets
from workflow_scripts.slpd.tokens import TokenData
from workflow_scripts.slpd.trainer import COLUMNS, Trainer, clustered_features, embed_regions

_TOLD = ("loss_self", "loss_intra", "loss_inter", "entropy_intra", "entropy_inter", "teacher_entropy")


class OutOfTimeError(Exception):
    """The time that was given is over before a run was."""


@dataclass
class Trained:
    """What a run leaves.

    Attributes:
        features: float32 `[N, dim]` of the teacher's backbone over whole regions.
        curves: one dict a round, see `_Run`.
        seconds: of training, without a warm-up that another run had.
    """

    features: np.ndarray
    curves: list[dict[str, float | None]] = field(default_factory=list)
    seconds: float = 0.0


def token_data(cohort: Cohort, device: torch.device) -> TokenData:
    """The cohort's tokens as the trainer takes them, all readable."""
    return TokenData.from_arrays(cohort.tokens, np.ones(cohort.tokens.shape[:3], dtype=bool), device)


def explained(features: np.ndarray, groups: np.ndarray) -> float:
    """Share of the variance of features `[N, d]` between groups int64 `[N]` (eta squared over all dimensions)."""
    centred = features - features.mean(axis=0)
    sums, counts = np.zeros((groups.max() + 1, features.shape[1])), np.bincount(groups)
    np.add.at(sums, groups, centred)
    between = (sums**2).sum(axis=1) / np.maximum(counts, 1)
    return float(between.sum() / (centred**2).sum())


def majorities(rows: np.ndarray, classes: np.ndarray, count: int) -> np.ndarray:
    """Commonest class int64 `[count]` among the regions of each of `count` rows; of equally common the first.

    Args:
        rows: int64 `[n]`, the row of each region.
        classes: int64 `[n]`.
        count: how many rows.
    """
    width = int(classes.max()) + 1
    return np.bincount(rows * width + classes, minlength=count * width).reshape(count, width).argmax(axis=1)


class _Run:
    """A run on its way; every round adds a line to `curves`.

    A line has the means over the round's last epoch of losses and of the targets' entropies, and of its clustering:
    `index` (adjusted Rand index with the true classes, mean over slides), `agreement` with the clustering before,
    `rank` of the features, `by_slide` and `by_class` (share of the variance of what is clustered that slides and
    classes explain), `own_right` and `neighbour_right` (share of the regions whose target is a prototype most of whose
    regions are of their class), `contrast` (nats that the target of a region tells about its prototype, among the
    prototypes of one slide).
    """

    def __init__(self, settings: PretrainRun, cohort: Cohort, device: torch.device) -> None:
        self.settings, self.cohort, self.device = settings, cohort, device
        self.data = token_data(cohort, device)
        self.trainer = Trainer(settings, self.data)
        self.ids = [f"s{number:04d}" for number in range(cohort.slides)]
        self.counts = np.bincount(cohort.slide, minlength=cohort.slides)
        self.before: SlidePrototypes | None = None
        self.curves: list[dict[str, float | None]] = []

    def to_epoch(self, state: TrainState, until: int, targets: PrototypeTargets | None) -> dict[str, float]:
        """Train, and the means of the last epoch."""
        rows = np.array(self.trainer.rows(list(self.trainer.steps(state, until, targets))))
        last = rows[rows[:, 0] == rows[-1, 0]].mean(axis=0)
        return {name: float(last[COLUMNS.index(name)]) for name in _TOLD}

    def round(self, state: TrainState, number: int) -> None:
        """One round: cluster, assign, distill."""
        targets, line = None, {}
        if self.settings.uses_prototypes:
            targets, line = self.targets(state, number)
        line |= self.to_epoch(state, state.epoch + self.settings.epochs_per_round, targets)
        self.curves.append({"round": number, **line})

    def targets(self, state: TrainState, number: int) -> tuple[PrototypeTargets, dict[str, float | None]]:
        """Targets of a round, and what is told of them."""
        cfg, loss = self.settings.prototypes, self.settings.loss
        features, clustered = (part.numpy() for part in clustered_features(self.settings, state.teacher, self.data))
        cluster = cluster_cohort if cfg.level == "global" else cluster_slides
        found = cluster(
            clustered, self.ids, self.counts, cfg, derive_seed(self.settings.seed, "round", number), threads=1
        )
        _, owner = owners(cfg.level, self.ids, self.cohort.slide)
        if self.before is not None and cfg.momentum:
            bottleneck = cfg.features == "bottleneck"
            found = moving_prototypes(found, self.before, clustered, owner, cfg.momentum, bottleneck)
        near = find_neighbours(found.vectors, found.valid, self.settings.neighbours)
        line = self._told(state, clustered, found, owner, near)
        line["rank"] = effective_rank(torch.from_numpy(features))
        self.before = found
        shares = prototype_shares(clustered, found, owner, loss.soft_temp) if loss.soft_temp else None
        return PrototypeTargets(found, near, owner, self.device, loss.neighbour_temp, shares), line

    def _told(
        self,
        state: TrainState,
        clustered: np.ndarray,
        found: SlidePrototypes,
        owner: np.ndarray,
        near: SlideNeighbours,
    ) -> dict[str, float | None]:
        truth, own, m = self.cohort.region_class, found.assignment, found.vectors.shape[1]
        named = majorities(owner * m + own, truth, len(found.vectors) * m).reshape(-1, m)
        other = near.index[owner, 0]
        matched = named[other, near.matching[owner, 0, own]]
        before = self.before
        return {
            "index": float(np.nanmean(adjusted_rand_indices(owner, own, truth))),
            "agreement": None if before is None else mean_agreement(owner, before.assignment, own),
            "by_slide": explained(clustered, self.cohort.slide),
            "by_class": explained(clustered, truth),
            "own_right": float((named[owner, own] == truth).mean()),
            "neighbour_right": float((matched == truth)[other >= 0].mean()) if (other >= 0).any() else None,
            "contrast": self._contrast(state, found),
        }

    @torch.no_grad()
    def _contrast(self, state: TrainState, found: SlidePrototypes) -> float | None:
        """Entropy of a slide's mean target less the mean entropy of its targets, mean over slides; at most log M."""
        if self.settings.prototypes.features == "backbone":
            return None
        loss = self.settings.loss
        center = state.center if loss.proto_center == "dino" else state.proto_center
        center = center if center.ndim == 1 else center[0]
        vectors = torch.from_numpy(found.vectors).to(self.device)
        q = sharpen(vectors @ state.teacher.head.directions().T, center, loss.teacher_temp)
        return float((entropy(q.mean(dim=1)) - entropy(q).mean(dim=1)).mean())


def _warmed(run: _Run, folder: Path) -> TrainState:
    """State after the warm-up, which runs of one cohort and seed share by way of the folder."""
    settings, dim, device = run.settings, run.data.dim, run.device
    path = folder / f"{settings.warm_up_key()}.safetensors"
    if not path.exists():
        state = new_state(settings, dim, device)
        run.to_epoch(state, settings.warmup_epochs, None)
        save_state(path, state)
    return load_state(path, settings, dim, device)[0]


def train(
    settings: PretrainRun,
    cohort: Cohort,
    device: torch.device,
    warm_ups: Path,
    time_left: Callable[[], float] = lambda: float("inf"),
) -> Trained:
    """Train a run from its warm-up to its last round.

    Args:
        settings: of the run.
        cohort: to train on.
        device: where.
        warm_ups: folder of states after the warm-up, of this cohort and no other.
        time_left: seconds that are left, looked at before each round.

    Raises:
        OutOfTimeError: there are none left, before the run's end.
    """
    run, began = _Run(settings, cohort, device), time.monotonic()
    warm_ups.mkdir(parents=True, exist_ok=True)
    state = _warmed(run, warm_ups)
    for number in range(1, settings.rounds + 1):
        if time_left() <= 0:
            raise OutOfTimeError
        run.round(state, number)
    features, _ = embed_regions(state.teacher, run.data, centre_window(run.data.grid, run.data.grid))
    return Trained(features.numpy(), run.curves, time.monotonic() - began)


def told_settings(settings: PretrainRun) -> dict[str, Any]:
    """Settings as they are written beside the measures."""
    return settings.model_dump(mode="json")
