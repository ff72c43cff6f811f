"""Two forms that most metrics have: a function of sums over cases, and a share of pairs of cases.

Both give the metric of all cases, and the metric with each group of cases left out, from the same numbers: leaving
cases out is a subtraction. So the values without each of a thousand patients cost about as much as a few of them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from workflow_scripts.mil.metrics.outcomes import Outcomes


@runtime_checkable
class LeavesOut(Protocol):
    """A metric that has a quick way to what it is without groups of cases."""

    def __call__(self, outcomes: Outcomes) -> float: ...

    def without(self, outcomes: Outcomes, group: np.ndarray, n_groups: int) -> np.ndarray:
        """The metric without the cases of each group, float64 `[G]`; `group` int64 `[n]` is from 0 to G - 1."""


_CANCELLED = 1e-3  # with 16 digits, 13 are left


def _group_sums(rows: np.ndarray, group: np.ndarray, n_groups: int) -> np.ndarray:
    """Sums over the rows of each group, `[n, ...]` -> `[G, ...]`."""
    sums = np.zeros((n_groups, *rows.shape[1:]))
    np.add.at(sums, group, rows)
    return sums


@dataclass(frozen=True)
class SumMetric:
    """A metric that is a function of sums over cases.

    Attributes:
        terms: what each case adds, float64 `[n, ...]`.
        value: metric `[...]` from sums `[..., *terms]`; NaN or infinity where it is not defined.
        spread: from the same sums of terms that are no counts, the amount that must be left for `value` to be exact.
            Where leaving a group out takes nearly all of it away, the metric is computed anew.
    """

    terms: Callable[[Outcomes], np.ndarray]
    value: Callable[[np.ndarray], np.ndarray]
    spread: Callable[[np.ndarray], np.ndarray] | None = None

    def __call__(self, outcomes: Outcomes) -> float:
        return float(self.of_sums(self.terms(outcomes).sum(axis=0)))

    def of_sums(self, sums: np.ndarray) -> np.ndarray:
        """The metric `[...]` of sums of terms `[..., *terms]`; NaN where it is not defined."""
        with np.errstate(divide="ignore", invalid="ignore"):
            value = np.asarray(self.value(sums))
        return np.where(np.isfinite(value), value, np.nan)

    def without(self, outcomes: Outcomes, group: np.ndarray, n_groups: int) -> np.ndarray:
        """The metric without the cases of each group, float64 `[G]`; `group` int64 `[n]` is from 0 to G - 1."""
        terms = self.terms(outcomes)
        total = terms.sum(axis=0)
        rest = total - _group_sums(terms, group, n_groups)
        values = self.of_sums(rest)
        if self.spread:
            for g in np.flatnonzero(self.spread(rest) <= _CANCELLED * self.spread(total)):
                values[g] = self(outcomes.take(group != g))
        return values


@dataclass(frozen=True)
class PairMetric:
    """A metric that is a share of pairs of cases, or the mean of K such shares; NaN where one has no pair.

    Attributes:
        counts: float64 `[n, K, 2]`: of the pairs that a case is in, the credit that they are given, and their number.
            Each pair stands with both its cases.
        two_groups: whether pairs are of one group against another, with credits from 0 to 1; only then is known how the
            choice of cases that share a fold moves it.
    """

    counts: Callable[[Outcomes], np.ndarray]
    two_groups: bool = True

    def __call__(self, outcomes: Outcomes) -> float:
        return float(_share(self.counts(outcomes).sum(axis=0)))

    def without(self, outcomes: Outcomes, group: np.ndarray, n_groups: int) -> np.ndarray:
        """The metric without the cases of each group, float64 `[G]`; `group` int64 `[n]` is from 0 to G - 1."""
        counts = self.counts(outcomes)
        gone = _group_sums(counts, group, n_groups)  # pairs within a group are in it twice
        for g in np.flatnonzero(np.bincount(group, minlength=n_groups) > 1):
            gone[g] -= self.counts(outcomes.take(group == g)).sum(axis=0) / 2
        return _share(counts.sum(axis=0) / 2 - gone)


def _share(counts: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return (counts[..., 0] / counts[..., 1]).mean(axis=-1)
