"""Metrics whose cases are compared only within their fold, for scores that have no common scale over models."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from workflow_scripts.mil.metrics.forms import LeavesOut, PairMetric
from workflow_scripts.mil.metrics.outcomes import Outcomes

Function = Callable[[Outcomes], float]


class LeftOut(NamedTuple):
    """A metric, what it is without each group of cases, and how much of that is chance of the folds.

    Attributes:
        value: of all cases; NaN where it is not defined.
        without: float64 `[G]`, with each group left out.
        ranking_noise: variance of the groups' influences, summed over groups, by the choice of the cases that share
            their fold; 0 where it is not known.
    """

    value: float
    without: np.ndarray
    ranking_noise: float = 0.0


def jackknife(metric: Function, outcomes: Outcomes, groups: np.ndarray) -> np.ndarray:
    """The metric with each group of cases left out, to rounding what `metric` gives for the others.

    Args:
        metric: a function of outcomes.
        outcomes: n cases.
        groups: `[n]` numbers of the groups, such as the patients.

    Returns:
        float64 `[G]`, groups in rising order of their numbers; NaN where the metric of the others is not defined.
    """
    numbers, group = np.unique(groups, return_inverse=True)
    if isinstance(metric, LeavesOut):
        return metric.without(outcomes, group, len(numbers))
    return np.array([metric(outcomes.take(group != g)) for g in range(len(numbers))])


def within_folds(metric: Function, outcomes: Outcomes, groups: np.ndarray, folds: np.ndarray) -> LeftOut:
    """The metric over folds: of pairs, the share of all pairs within a fold; of others, the mean over cases' folds.

    A fold in which another metric is not defined is left out of its mean.

    Args:
        metric: a function of outcomes.
        outcomes: n cases.
        groups: `[n]` numbers of the groups, each in one fold.
        folds: `[n]` number of the fold of each case.
    """
    numbers, group = np.unique(groups, return_inverse=True)
    parts = [np.flatnonzero(folds == fold) for fold in np.unique(folds)]
    if isinstance(metric, PairMetric):
        return _pairs_within(metric, outcomes, group, parts)
    sizes = np.array([len(part) for part in parts], dtype=np.float64)
    values = np.array([metric(outcomes.take(part)) for part in parts])
    without = np.full(len(numbers), np.nan)
    for position, part in enumerate(parts):
        inside = np.unique(group[part])
        smaller = np.array([(group[part] != g).sum() for g in inside], dtype=np.float64)
        for g, value, size in zip(inside, jackknife(metric, outcomes.take(part), group[part]), smaller, strict=True):
            others, weights = values.copy(), sizes.copy()
            others[position], weights[position] = value, size
            without[g] = _mean(others, weights)
    return LeftOut(_mean(values, sizes), without)


def _mean(values: np.ndarray, weights: np.ndarray) -> float:
    kept = np.isfinite(values) & (weights > 0)
    return float(np.average(values[kept], weights=weights[kept])) if kept.any() else np.nan


def _pairs_within(metric: PairMetric, outcomes: Outcomes, group: np.ndarray, parts: list[np.ndarray]) -> LeftOut:
    """Shares of the pairs within folds; a group in one fold takes its pairs with it.

    Which cases a case is compared with is a draw of about one of K without replacement, so that the credit of its d
    pairs, a share p of them, varies by d p (1 - p) (1 - 1 / K) over the deals of the folds.
    """
    counts = np.concatenate([metric.counts(outcomes.take(part)) for part in parts])
    owner = np.concatenate([group[part] for part in parts])
    n_groups = int(group.max()) + 1
    gone = np.zeros((n_groups, *counts.shape[1:]))
    np.add.at(gone, owner, counts)
    for g in np.flatnonzero(np.bincount(group, minlength=n_groups) > 1):
        gone[g] -= metric.counts(outcomes.take(group == g)).sum(axis=0) / 2
    total = counts.sum(axis=0) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        rest = total - gone
        without = (rest[..., 0] / rest[..., 1]).mean(axis=-1)
        credit, pairs = counts[..., 0], counts[..., 1]
        spread = credit / pairs * (1 - credit / pairs) * pairs / np.maximum(pairs - 1, 1)
        moved = np.nan_to_num(spread * pairs) * (1 - 1 / len(parts)) / rest[owner][..., 1] ** 2
        value = float((total[:, 0] / total[:, 1]).mean())
    noise = float(np.nansum(moved) / counts.shape[1] ** 2) if metric.two_groups else 0.0
    return LeftOut(value, without, noise)
