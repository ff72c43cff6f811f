"""Ranks of values, as a share of how many there are."""

import numpy as np


def middle_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks of n values, `(rank - 1/2) / n`, float64 from 0 to 1; equal ones have the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - counts / 2
    return np.asarray(middle[place] / len(values))
