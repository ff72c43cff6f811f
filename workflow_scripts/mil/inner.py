"""Choices by an inner split: of the training bags alone, a patient's bags always together."""

from collections.abc import Callable, Sequence

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from workflow_scripts.mil.bags import Bags

Losses = Callable[[Bags, Bags], np.ndarray]
"""Loss on the second bags of a model of the first, summed over bags, for every value of a grid, float64 `[G]`."""


def strata_of(target: np.ndarray) -> np.ndarray:
    """What inner folds are stratified by, int64 `[n]`: class, whether there was an event, or nothing."""
    if target.dtype.names:
        return target["event"].astype(np.int64)
    return target if np.issubdtype(target.dtype, np.integer) else np.zeros(len(target), np.int64)


def inner_folds(bags: Bags, folds: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Indices to learn from and to judge by, int64, of each inner fold.

    There are fewer folds where a stratum has fewer patients, and none where one has a single patient.
    """
    strata, patients = strata_of(bags.target), np.asarray(bags.patients)
    most = min((len(set(patients[strata == one])) for one in np.unique(strata)), default=0)
    if min(folds, most) < 2:
        return []
    dealer = StratifiedGroupKFold(min(folds, most), shuffle=True, random_state=seed % 2**32)
    return list(dealer.split(strata, strata, patients))


def choose(
    grid: Sequence[float], losses: Losses, train: Bags, validation: Bags, folds: int, seed: int, otherwise: float
) -> float:
    """The value of a grid with the lowest loss on validation bags, or over inner folds where there are none.

    Args:
        grid: values, the simplest model first, which wins a tie.
        losses: of a model for every value.
        train: bags to learn from; the validation bags are never learnt from.
        validation: bags to judge by; may be empty.
        folds: inner folds.
        seed: by which inner folds are dealt.
        otherwise: the value where there are too few patients for inner folds.
    """
    if len(validation):
        return float(grid[int(np.argmin(losses(train, validation)))])
    parts = inner_folds(train, folds, seed)
    if not parts:
        return otherwise
    return float(grid[int(np.argmin(sum(losses(train.take(fit), train.take(held)) for fit, held in parts)))])
