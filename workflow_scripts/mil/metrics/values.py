"""Metrics of predicted values against true ones, in the unit of the values or without one."""

import math

import numpy as np
from scipy.stats import rankdata

from workflow_scripts.mil.metrics.forms import SumMetric
from workflow_scripts.mil.metrics.outcomes import Outcomes

_CELLS_AT_ONCE = 2**20


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


class _Spearman:
    """Pearson's correlation of ranks. Without a case, each rank above it falls by one and each equal one by a half."""

    def __call__(self, outcomes: Outcomes) -> float:
        if not len(outcomes):
            return math.nan
        return pearson(Outcomes(rankdata(outcomes.target), rankdata(outcomes.prediction)))

    def without(self, outcomes: Outcomes, group: np.ndarray, n_groups: int) -> np.ndarray:
        """The metric without the cases of each group, float64 `[G]`; time goes with n squared."""
        values = np.full(n_groups, math.nan)
        step = max(1, _CELLS_AT_ONCE // max(1, len(outcomes)))
        for start in range(0, n_groups, step):
            size = min(step, n_groups - start)
            kept = group != np.arange(start, start + size)[:, None]
            y, p = (_ranks_left(side, group - start, kept) for side in (outcomes.target, outcomes.prediction))
            sums = [kept.sum(axis=1), y.sum(axis=1), p.sum(axis=1)]
            sums += [np.einsum("gn,gn->g", *pair) for pair in ((y, y), (p, p), (y, p))]
            values[start : start + size] = pearson.of_sums(np.stack(sums, axis=-1))
        return values


def _ranks_left(values: np.ndarray, group: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Ranks about their mean `[G, n]` among the values that are `kept`, bool `[G, n]`; 0 of those that are not."""
    lower = np.zeros(kept.shape)
    for case in np.flatnonzero((group >= 0) & (group < len(kept))):
        lower[group[case]] += 0.5 + 0.5 * np.sign(values - values[case])
    middle = (1 + kept.sum(axis=1, keepdims=True)) / 2
    return kept * (rankdata(values) - lower - middle)


spearman = _Spearman()
"""Spearman's rank correlation, equal values with their mean rank; NaN where one side is all equal."""
