"""Metrics of the order in which predictions put the cases of classes."""

import math

import numpy as np

from workflow_scripts.mil.metrics.forms import PairMetric
from workflow_scripts.mil.metrics.outcomes import Outcomes


def _below(score: np.ndarray, others: np.ndarray) -> np.ndarray:
    """How many of `others` lie below each score, equal ones counted half; float64 `[n]`."""
    others = np.sort(others)
    return (np.searchsorted(others, score, "left") + np.searchsorted(others, score, "right")) / 2


def _positive_over_negative(positive: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Pairs of a positive and a negative case, float64 `[n, 2]`: credit where the positive scores higher, number."""
    counts = np.empty((len(score), 2))
    high, low = score[positive], score[~positive]
    counts[positive, 0], counts[positive, 1] = _below(high, low), len(low)
    counts[~positive, 0], counts[~positive, 1] = len(high) - _below(low, high), len(high)
    return counts


def _classes(outcomes: Outcomes) -> range:
    """Classes that are told from the rest: of two the last, of more each."""
    return range(outcomes.n_classes) if outcomes.n_classes > 2 else range(outcomes.n_classes - 1, outcomes.n_classes)


def _class_pairs(outcomes: Outcomes) -> np.ndarray:
    columns = [_positive_over_negative(outcomes.target == c, outcomes.prediction[:, c]) for c in _classes(outcomes)]
    return np.stack(columns, axis=1)


def _grade_pairs(outcomes: Outcomes) -> np.ndarray:
    """Pairs of cases of different grades: +1 where the higher grade is expected to be higher, -1 the other way."""
    expected, grade = outcomes.prediction @ np.arange(outcomes.n_classes), outcomes.target
    counts = np.zeros((len(outcomes), 1, 2))
    for g in np.unique(grade):
        here, lower, upper = grade == g, expected[grade < g], expected[grade > g]
        own = expected[here]
        counts[here, 0, 0] = (2 * _below(own, lower) - len(lower)) + (len(upper) - 2 * _below(own, upper))
        counts[here, 0, 1] = len(lower) + len(upper)
    return counts


auc = PairMetric(_class_pairs)
"""Area under the ROC curve: of two classes, the last is positive; of more, the mean of each against the rest.

The share of pairs in which the positive case has the higher score (Hanley and McNeil 1982). NaN where a class has no
case or all cases.
"""

somers_d = PairMetric(_grade_pairs, two_groups=False)
"""Somers' D (1962) of the expected grade, given the true one: share of the pairs of cases of different grades that are
in the right order minus that of those in the wrong one.

Of two grades it is 2 AUC - 1. Unlike Kendall's tau-b it reaches 1 though many cases share a grade. The expected grade
takes grades as 0, 1, 2, ...; NaN with one class.
"""


def average_precision(outcomes: Outcomes) -> float:
    """Average precision: of two classes, the last is positive; of more, the mean of each against the rest.

    Sum over thresholds of precision times the gain of recall, without interpolation, which is the mean over positive
    cases of the precision at their score. NaN where a class has no case or all cases.
    """
    values = [_precision(outcomes.target == c, outcomes.prediction[:, c]) for c in _classes(outcomes)]
    return float(np.mean(values))


def _precision(positive: np.ndarray, score: np.ndarray) -> float:
    found = score[positive]
    if len(found) in (0, len(score)):
        return math.nan
    at_least = len(score) - np.searchsorted(np.sort(score), found, "left")
    hits = len(found) - np.searchsorted(np.sort(found), found, "left")
    return float(np.mean(hits / at_least))
