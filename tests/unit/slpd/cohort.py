"""A small cohort with prototypes and neighbours, some missing, for tests of training."""

import numpy as np
import torch

from workflow_scripts.config import PretrainRun
from workflow_scripts.slpd.neighbours import SlideNeighbours
from workflow_scripts.slpd.prototypes import SlidePrototypes
from workflow_scripts.slpd.trainer import PrototypeTargets, TokenData

CPU = torch.device("cpu")
DIM = 5  # of a token
SLIDE_INDEX = np.repeat(np.arange(4), [3, 3, 2, 3])
REGIONS = len(SLIDE_INDEX)


def tokens(dtype: torch.dtype = torch.float16, padded: bool = False) -> TokenData:
    """11 regions of 4 x 4 tokens."""
    generator = torch.Generator().manual_seed(11)
    values = torch.randn(REGIONS, 16, DIM, generator=generator).half().to(dtype)
    valid = torch.ones(REGIONS, 16, dtype=torch.bool)
    if padded:
        valid[1, 8:] = False
        valid[5, ::3] = False
    return TokenData(values, valid, 4)


def prototypes(settings: PretrainRun) -> SlidePrototypes:
    """Slide 2 has none."""
    rng = np.random.default_rng(5)
    vectors = rng.standard_normal((4, 2, settings.head.bottleneck))
    vectors = (vectors / np.linalg.norm(vectors, axis=2, keepdims=True)).astype(np.float32)
    vectors[2] = 0
    valid = np.array([True, True, False, True])
    assignment = np.where(valid[SLIDE_INDEX], np.arange(REGIONS) % 2, -1)
    return SlidePrototypes(vectors, valid, assignment, np.zeros(REGIONS, dtype=np.float32))


def neighbours() -> SlideNeighbours:
    """Slide 1 has one neighbour, slide 3 none."""
    index = np.array([[3, 1], [0, -1], [-1, -1], [-1, -1]])
    matching = np.array([[[1, 0], [0, 1]], [[1, 1], [-1, -1]], [[-1, -1]] * 2, [[-1, -1]] * 2])
    return SlideNeighbours(index, np.zeros((4, 2), dtype=np.float32), matching)


def targets(settings: PretrainRun) -> PrototypeTargets:
    return PrototypeTargets(prototypes(settings), neighbours(), SLIDE_INDEX, CPU)
