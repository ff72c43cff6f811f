"""Runs the fast and the slow engine from one state and compares all that they leave behind, to 1e-6 relative."""

import numpy as np
import torch

from workflow_scripts.config import PretrainRun
from workflow_scripts.slpd.neighbours import SlideNeighbours
from workflow_scripts.slpd.prototypes import SlidePrototypes
from workflow_scripts.slpd.state import TrainState, state_tensors
from workflow_scripts.slpd.targets import PrototypeTargets
from workflow_scripts.slpd.trainer import COLUMNS, Trainer

from . import cohort, plain_matching
from .plain_engine import PlainTraining

CLOSE = {"rtol": 1e-6, "atol": 1e-9}
LOSSES = ("loss", "loss_self", "loss_intra", "loss_inter")


def prototypes_of(settings: PretrainRun) -> SlidePrototypes:
    return cohort.prototypes(settings, np.float64)


def column(rows: list[list[float]], name: str) -> list[float]:
    return [row[COLUMNS.index(name)] for row in rows]


def compare(slow: PlainTraining, want: list[list[float]], state: TrainState, rows: list[list[float]]) -> None:
    """Rows of every step, then everything that the state keeps. A loss of weight 0 is looked at in the total alone."""
    loss = slow.settings.loss
    weights = {"loss_self": loss.self_weight, "loss_intra": loss.intra_weight, "loss_inter": loss.inter_weight}
    for place, name in enumerate((*LOSSES, "lr", "weight_decay", "momentum")):
        if weights.get(name, 1) > 0:
            np.testing.assert_allclose(column(rows, name), [line[place] for line in want], rtol=1e-6, err_msg=name)
    for network, reference in ((state.student, slow.student), (state.teacher, slow.teacher)):
        for name, value in network.named_parameters():
            plain_name = name.removeprefix("backbone.")
            torch.testing.assert_close(value, reference[plain_name], **CLOSE, msg=lambda m, n=name: f"{n}: {m}")
    torch.testing.assert_close(state.center, slow.center, **CLOSE)
    torch.testing.assert_close(state.proto_center, slow.proto_center, **CLOSE)
    tensors = state_tensors(state)
    for name, (first, second, steps) in slow.moments.items():
        full = name if name.startswith("head.") else f"backbone.{name}"
        if steps == 0:
            assert f"optimiser.{full}.exp_avg" not in tensors
            continue
        torch.testing.assert_close(tensors[f"optimiser.{full}.exp_avg"], first.detach(), **CLOSE)
        torch.testing.assert_close(tensors[f"optimiser.{full}.exp_avg_sq"], second.detach(), rtol=2e-6, atol=1e-12)


def run_both(
    settings: PretrainRun,
    prototypes: SlidePrototypes | None = None,
    fast_neighbours: SlideNeighbours | None = None,
    slow_neighbours: SlideNeighbours | None = None,
    epochs: int = 3,
    padded: bool = False,
    width: int = cohort.DIM,
    micro_batch: int | None = None,
    shares: np.ndarray | None = None,
) -> tuple[PlainTraining, list[list[float]], TrainState, list[list[float]]]:
    """Both engines from one state through the warm-up and on to `epochs`; compared on the way out."""
    arrays, state = cohort.arrays(padded, width=width), cohort.double_state(settings, width)
    prototypes = prototypes or prototypes_of(settings)
    fast_neighbours = fast_neighbours or cohort.neighbours()
    slow = PlainTraining(
        settings, state, arrays, prototypes, slow_neighbours or fast_neighbours, cohort.SLIDE_INDEX, shares
    )
    trainer = Trainer(settings, cohort.token_data(arrays, torch.float64), micro_batch=micro_batch)
    rows = cohort.run_epochs(trainer, state, settings.warmup_epochs, None)
    run = (cohort.SLIDE_INDEX, cohort.CPU, settings.loss.neighbour_temp, shares)
    targets = PrototypeTargets(prototypes, fast_neighbours, *run)
    rows += cohort.run_epochs(trainer, state, epochs, targets)
    want = slow.run(epochs, warm_epoch=settings.warmup_epochs - 1)
    compare(slow, want, state, rows)
    return slow, want, state, rows


def complete_neighbours(settings: PretrainRun) -> SlideNeighbours:
    prototypes = prototypes_of(settings)
    return plain_matching.nearest_slides(prototypes.vectors, prototypes.valid, settings.neighbours)
