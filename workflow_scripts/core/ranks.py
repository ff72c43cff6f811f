"""Ranks of values, as a share of how many there are."""

import numpy as np
from scipy.stats import rankdata


def middle_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks of n values, `(rank - 1/2) / n`, float64 from 0 to 1; equal ones have the mean of theirs."""
    return np.asarray((rankdata(values) - 0.5) / len(values))
