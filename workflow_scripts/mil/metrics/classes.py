"""Metrics of the most probable class, and of the probabilities themselves.

All classes have columns in the predictions. A class that no case has, and to which none was assigned, takes no part.
"""

import numpy as np

from workflow_scripts.mil.metrics.forms import SumMetric
from workflow_scripts.mil.metrics.outcomes import Outcomes

BINS = 10


def confusion(outcomes: Outcomes) -> np.ndarray:
    """float64 `[n, C, C]`: 1 at the true class of each case (row) and its most probable one (column)."""
    counts = np.zeros((len(outcomes), outcomes.n_classes, outcomes.n_classes))
    counts[np.arange(len(outcomes)), outcomes.target, outcomes.predicted] = 1
    return counts


def _right(counts: np.ndarray) -> np.ndarray:
    return np.diagonal(counts, axis1=-2, axis2=-1)


def _accuracy(counts: np.ndarray) -> np.ndarray:
    return _right(counts).sum(axis=-1) / counts.sum(axis=(-2, -1))


def _recalls(counts: np.ndarray) -> np.ndarray:
    return _right(counts) / counts.sum(axis=-1)


def _balanced_accuracy(counts: np.ndarray) -> np.ndarray:
    there = counts.sum(axis=-1) > 0
    return np.where(there, _recalls(counts), 0).sum(axis=-1) / there.sum(axis=-1)


def _macro_f1(counts: np.ndarray) -> np.ndarray:
    size = counts.sum(axis=-1) + counts.sum(axis=-2)  # true and assigned
    there = size > 0
    return np.where(there, 2 * _right(counts) / size, 0).sum(axis=-1) / there.sum(axis=-1)


def _quadratic_kappa(counts: np.ndarray) -> np.ndarray:
    grades = np.arange(counts.shape[-1])
    weight = (grades[:, None] - grades) ** 2
    true, assigned = counts.sum(axis=-1), counts.sum(axis=-2)
    by_chance = true[..., :, None] * assigned[..., None, :] / counts.sum(axis=(-2, -1), keepdims=True)
    kappa = 1 - (weight * counts).sum(axis=(-2, -1)) / (weight * by_chance).sum(axis=(-2, -1))
    return np.where((true > 0).sum(axis=-1) > 1, kappa, np.nan)


accuracy = SumMetric(confusion, _accuracy)
"""Fraction of cases whose most probable class is theirs."""

balanced_accuracy = SumMetric(confusion, _balanced_accuracy)
"""Mean over the classes that are there of the fraction of their cases found."""

macro_f1 = SumMetric(confusion, _macro_f1)
"""Mean over classes of F1, the harmonic mean of precision and recall."""

quadratic_kappa = SumMetric(confusion, _quadratic_kappa)
"""Cohen's kappa with quadratic weights on the distance between grades (Cohen 1968); NaN with one class."""

sensitivity = SumMetric(confusion, lambda counts: _recalls(counts)[..., 1])
"""Of two classes: fraction of the cases of the last (the positive) one whose probability of it is above one half."""

specificity = SumMetric(confusion, lambda counts: _recalls(counts)[..., 0])
"""Of two classes: fraction of the cases of the first (the negative) one that are not assigned to the last."""


def _squared_error(outcomes: Outcomes) -> np.ndarray:
    error = outcomes.prediction - np.eye(outcomes.n_classes)[outcomes.target]
    return np.stack([np.ones(len(outcomes)), (error**2).sum(axis=1) / 2], axis=1)


def _gaps(outcomes: Outcomes) -> np.ndarray:
    """float64 `[n, 1 + BINS]`: 1, and in the bin of a case's top probability, right (1 or 0) minus that probability."""
    top = outcomes.prediction.max(axis=1)
    place = np.ceil(np.round(top * BINS, 9)).astype(np.int64)  # bins are (0, 0.1], (0.1, 0.2] ..., but for rounding
    terms = np.zeros((len(outcomes), 1 + BINS))
    terms[:, 0] = 1
    terms[np.arange(len(outcomes)), place] = (outcomes.predicted == outcomes.target) - top
    return terms


brier = SumMetric(_squared_error, lambda sums: sums[..., 1] / sums[..., 0])
"""Brier score (Brier 1950): mean over cases of half the squared distance of the probabilities from the truth.

The half makes it that of one probability where there are two classes, and at most 1 in any case.
"""

calibration_error = SumMetric(_gaps, lambda sums: np.abs(sums[..., 1:]).sum(axis=-1) / sums[..., 0])
"""Expected calibration error (Guo et al. 2017, arXiv 1706.04599, eq. 3) of the top class, ten bins of equal width."""
