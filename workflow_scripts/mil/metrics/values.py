"""Metrics of predicted values against true ones, in the unit of the values or without one."""

import math

import numpy as np
from scipy.stats import rankdata

from workflow_scripts.mil.metrics.forms import SumMetric
from workflow_scripts.mil.metrics.outcomes import Outcomes


def _moments(outcomes: Outcomes) -> np.ndarray:
    """float64 `[n, 7]`: 1, y, p, y^2, p^2, y p, (y - p)^2 of truth y and prediction p, both less their median.

    The median keeps squares small, and of equal values leaves exact zeros.
    """
    y, p = outcomes.target, outcomes.prediction
    error = (y - p) ** 2
    if len(outcomes):
        y, p = y - np.median(y), p - np.median(p)
    return np.stack([np.ones(len(y)), y, p, y * y, p * p, y * p, error], axis=1)


def _true_spread(sums: np.ndarray) -> np.ndarray:
    """Sum of squares of the true values about their mean."""
    return sums[..., 3] - sums[..., 1] ** 2 / np.maximum(sums[..., 0], 1)


def _predicted_spread(sums: np.ndarray) -> np.ndarray:
    return sums[..., 4] - sums[..., 2] ** 2 / np.maximum(sums[..., 0], 1)


def _both_spreads(sums: np.ndarray) -> np.ndarray:
    return np.minimum(_true_spread(sums), _predicted_spread(sums))


def _pearson(sums: np.ndarray) -> np.ndarray:
    together = sums[..., 5] - sums[..., 1] * sums[..., 2] / sums[..., 0]
    return together / np.sqrt(_true_spread(sums) * _predicted_spread(sums))


r2 = SumMetric(_moments, lambda sums: 1 - sums[..., 6] / _true_spread(sums), _true_spread)
"""R squared: 1 minus the squared error over that of the true values' own mean; NaN where they are all equal."""

mean_absolute_error = SumMetric(
    lambda outcomes: np.stack([np.ones(len(outcomes)), np.abs(outcomes.target - outcomes.prediction)], axis=1),
    lambda sums: sums[..., 1] / sums[..., 0],
    lambda sums: sums[..., 1],
)
"""Mean absolute error, in the unit of the values."""

pearson = SumMetric(_moments, _pearson, _both_spreads)
"""Pearson's correlation; NaN where the true or the predicted values are all equal."""


def spearman(outcomes: Outcomes) -> float:
    """Spearman's rank correlation, equal values with their mean rank; NaN where one side is all equal."""
    if not len(outcomes):
        return math.nan
    return pearson(Outcomes(rankdata(outcomes.target), rankdata(outcomes.prediction)))
