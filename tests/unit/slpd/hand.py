"""The numbers of the hand-worked cases: two regions, a and b, three units (see test_plain_engine)."""

import math

import torch

TEMPERATURE = 0.2 / math.log(2)  # of the teacher: logits in steps of 0.2 become powers of two
INTRA = [[1.0, 0.0, 0.0], [0.6, 0.8, 0.0]]  # own prototypes of a and b
INTER = [[0.0, 1.0, 0.0], [0.8, 0.0, 0.6]]  # of their neighbours
SELF_CENTER = [0.2, 0.0, 0.0]  # of L_self, for the mode that takes it for prototypes


def weights(*values: float) -> torch.Tensor:
    """The distribution in these proportions."""
    return torch.tensor(values, dtype=torch.float64) / sum(values)
