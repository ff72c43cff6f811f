"""A small cohort with prototypes and neighbours, some missing, for tests of training."""

from itertools import islice
from typing import NamedTuple

import numpy as np
import torch

from workflow_scripts.config import PretrainRun
from workflow_scripts.slpd.neighbours import SlideNeighbours
from workflow_scripts.slpd.prototypes import SlidePrototypes
from workflow_scripts.slpd.state import TrainState, new_state
from workflow_scripts.slpd.targets import PrototypeTargets
from workflow_scripts.slpd.tokens import TokenData
from workflow_scripts.slpd.trainer import Trainer

CPU = torch.device("cpu")
DIM = 5  # of a token
COUNTS = np.array([3, 3, 2, 3])
SLIDE_INDEX = np.repeat(np.arange(4), COUNTS)
REGIONS = len(SLIDE_INDEX)


class Arrays(NamedTuple):
    """tokens `[N, g*g, D]`, valid bool `[N, g*g]`, g."""

    tokens: torch.Tensor
    valid: torch.Tensor
    grid: int


def arrays(padded: bool = False, grid: int = 4, width: int = DIM) -> Arrays:
    """11 regions of `grid` x `grid` tokens, float16."""
    generator = torch.Generator().manual_seed(11)
    cells = grid * grid
    valid = torch.ones(REGIONS, cells, dtype=torch.bool)
    if padded:
        valid[1, cells // 2 :] = False
        valid[5, ::3] = False
    return Arrays(torch.randn(REGIONS, cells, width, generator=generator).half(), valid, grid)


def token_data(found: Arrays, dtype: torch.dtype = torch.float16) -> TokenData:
    """The same for the fast engine."""
    shape = (len(found.valid), found.grid, found.grid)
    values = found.tokens.to(dtype).reshape(*shape, -1)
    return TokenData.from_arrays(values.numpy(), found.valid.reshape(shape).numpy(), CPU)


def tokens(dtype: torch.dtype = torch.float16, padded: bool = False) -> TokenData:
    """11 regions of 4 x 4 tokens."""
    return token_data(arrays(padded), dtype)


def prototypes(settings: PretrainRun, dtype: type = np.float32) -> SlidePrototypes:
    """Slide 2 has none. Unit vectors in the bottleneck; any length in the backbone's space."""
    rng = np.random.default_rng(5)
    backbone = settings.prototypes.features == "backbone"
    vectors = rng.standard_normal(
        (4, settings.prototypes.count, settings.model.dim if backbone else settings.head.bottleneck)
    )
    if not backbone:
        vectors = vectors / np.linalg.norm(vectors, axis=2, keepdims=True)
    vectors = vectors.astype(np.float32).astype(dtype)
    vectors[2] = 0
    valid = np.array([True, True, False, True])
    assignment = np.where(valid[SLIDE_INDEX], np.arange(REGIONS) % settings.prototypes.count, -1)
    return SlidePrototypes(vectors, valid, assignment, np.zeros(REGIONS, dtype=np.float32))


def neighbours() -> SlideNeighbours:
    """Slide 1 has one neighbour, slide 3 none."""
    index = np.array([[3, 1], [0, -1], [-1, -1], [-1, -1]])
    matching = np.array([[[1, 0], [0, 1]], [[1, 1], [-1, -1]], [[-1, -1]] * 2, [[-1, -1]] * 2])
    return SlideNeighbours(index, np.zeros((4, 2), dtype=np.float32), matching)


def targets(settings: PretrainRun) -> PrototypeTargets:
    return PrototypeTargets(prototypes(settings), neighbours(), SLIDE_INDEX, CPU)


def double_state(settings: PretrainRun, width: int = DIM) -> TrainState:
    """A state in float64, off the initialisation, where all regions look alike; student and teacher differ."""
    state = new_state(settings, width, CPU)
    generator = torch.Generator().manual_seed(3)
    for network in (state.student.double(), state.teacher.double()):
        for parameter in network.parameters():
            parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    state.center, state.proto_center = state.center.double(), state.proto_center.double()
    return state


def run_epochs(trainer: Trainer, state: TrainState, until: int, targets: PrototypeTargets | None) -> list[list[float]]:
    """Train to epoch `until` and return the metric rows, see trainer.COLUMNS."""
    return trainer.rows(list(trainer.steps(state, until, targets)))


def run_steps(
    trainer: Trainer, state: TrainState, count: int, until: int, targets: PrototypeTargets | None
) -> list[list[float]]:
    """The same, ended after some steps on the way there."""
    training = trainer.steps(state, until, targets)
    steps = list(islice(training, count))
    training.close()
    return trainer.rows(steps)
