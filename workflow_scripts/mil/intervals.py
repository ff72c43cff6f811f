"""How sure a metric is: intervals of the performance that a procedure is expected to have.

What is estimated is the expected value of the metric when the whole procedure, a representation with its head, learns
from a new cohort of the size of a training part and is tested on new patients. So an interval has to tell of the choice
of all patients, tested and learnt from. A bootstrap of cross-validated predictions tells of the tested ones alone:
every patient is also in the training part of the other folds' models, which the bootstrap holds fixed, and its
intervals are too narrow (Bengio and Grandvalet 2004; Bates, Hastie and Tibshirani 2023).

How the variance is put together is in docs/benchmark.md, with the simulation that shows what the intervals cover.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.stats import t as student

Design = Literal["folds", "draws", "held_out"]
LEVEL = 0.95
# Standard error of a share of m cases that is given at least: with it, the lower limit of a share of 1 is about
# 1 - 3 / m, the rule of three (Hanley and Lippman-Hand 1983).
_LEAST_ERROR = 0.41
_SAME = 1e-9  # of an error, what rounding leaves of the difference of equal predictions


@dataclass(frozen=True)
class Scores:
    """A metric over all tests of a procedure: R repeats of the folds, or R draws, on the same G patients.

    Attributes:
        values: float64 `[R]`: the metric of each repeat; NaN where it is not defined.
        influence: float64 `[R, G]`: how much each patient moves the metric of each repeat, so that the sum of squares
            over patients is the variance by the choice of tested patients (jackknife); 0 for patients not tested.
        design: `folds`: every patient is tested once a repeat; `draws`: test patients are drawn anew for each value;
            `held_out`: one training and one test part.
        learnt_per_left: patients that a model learns from over those that it does not, K - 1 for K folds; of draws, all
            others over the tested ones.
        group: int64 `[G]`: number of each patient's group: its class, or with or without an event; all 0 where there
            are none.
        smallest: patients in the smallest group that the metric needs, such as the rarer class or those with an event.
        learnt_again: as `core.tasks.Metric` has it.
        strata: folds whose cases are ranked apart; 1 where all are ranked together.
        ranking_noise: what of the spread of `influence` over repeats, summed over patients, comes from the cases that
            happen to be ranked with each patient and not from the models; 0 where all are ranked together.
        replicates: float64 `[P]`: the value of each of P trainings of the representation, whose mean all else is; of
            a difference those of both; empty where there is one training.
    """

    values: np.ndarray
    influence: np.ndarray
    design: Design
    learnt_per_left: float
    group: np.ndarray
    smallest: int
    learnt_again: float = 1.0
    strata: int = 1
    ranking_noise: float = 0.0
    replicates: tuple[np.ndarray, ...] = ()

    def minus(self, other: "Scores") -> "Scores":
        """The difference to other scores on the same patients and splits.

        Both rank the same cases in the same folds, so that most of what comes from them is gone: none is taken off.
        """
        return Scores(
            self.values - other.values,
            self.influence - other.influence,
            self.design,
            self.learnt_per_left,
            self.group,
            self.smallest,
            self.learnt_again,
            max(self.strata, other.strata),
            replicates=_paired(self, other),
        )

    @property
    def value(self) -> float:
        """Mean over the repeats in which the metric is defined; NaN if there is none."""
        kept = self.values[np.isfinite(self.values)]
        return float(kept.mean()) if len(kept) else math.nan

    @property
    def degrees(self) -> float:
        """Degrees of freedom of `variance`, at least 1.

        Of folds, Welch's and Satterthwaite's for what the groups add each, but half of the patients at most, for half
        of the variance is told by the same patients again; and less one for each further fold that is ranked apart.
        """
        kept = np.isfinite(self.values)
        if self.design == "draws" or not kept.any():
            return max(int(kept.sum()) - 1, 1)
        squares = self.influence[kept].mean(axis=0) ** 2
        sizes, parts = np.bincount(self.group), np.bincount(self.group, squares)
        total = float(parts.sum())
        welch = total**2 / (parts**2 / np.maximum(sizes - 1, 1)).sum() if total > 0 else self.smallest - 1
        most = len(self.group) - len(sizes)
        return max(min(welch, most / 2 if self.design == "folds" else most) - (self.strata - 1), 1)


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % limits and standard error; NaN where there is none."""

    value: float
    low: float
    high: float
    error: float


def influence(value: float, left_out: np.ndarray) -> np.ndarray:
    """Jackknife influence of each of G patients on a metric, float64 `[G]`; their squares sum to its variance.

    Efron and Stein (1981): variance = (G - 1) / G * sum of (value without a patient - value) squared. A patient without
    whom the metric is not defined has none.

    Args:
        value: the metric of all patients.
        left_out: float64 `[G]`: the metric without each patient.
    """
    scale = math.sqrt((len(left_out) - 1) / len(left_out))
    return np.nan_to_num((value - left_out) * scale)


def variance(scores: Scores) -> float:
    """Variance of `scores.value` over cohorts; NaN where it cannot be told.

    Of folds, three parts. What each patient adds when tested, averaged over the repeats (`patients`). What it adds when
    learnt from, `learnt_again` times what the repeats show of the models' dependence on their training patients: the
    spread of a patient's influence over repeats (`within`), which the overlap of their training parts makes
    `learnt_per_left` times smaller; at most as much as `patients`. And what is left of the repeats' own noise.

    Of draws, the corrected resampled variance of Nadeau and Bengio (2003). Of one test part held out, the jackknife
    over its patients, which holds the model fixed.
    """
    if scores.design == "draws":
        kept = scores.values[np.isfinite(scores.values)]
        if len(kept) < 2:
            return math.nan
        return float(kept.var(ddof=1) * (1 / len(kept) + 1 / scores.learnt_per_left))
    kept = scores.influence[np.isfinite(scores.values)]
    if not len(kept):
        return math.nan
    total = float((kept.mean(axis=0) ** 2).sum())
    if scores.design == "held_out":
        return total
    if len(kept) == 1:
        return 2 * total
    within = float(kept.var(axis=0, ddof=1).sum())
    patients = max(total - within / len(kept), 0.0)
    of_models = max(within - scores.ranking_noise, 0.0)
    learnt = scores.learnt_again * scores.learnt_per_left * of_models
    return patients + min(learnt, patients) + within / len(kept)


def mean_of(trainings: list[Scores]) -> Scores:
    """Scores of P trainings of one representation, by other seeds, as those of the representation: their mean."""
    first = trainings[0]
    if len(trainings) == 1:
        return first
    return replace(
        first,
        values=np.mean([one.values for one in trainings], axis=0),
        influence=np.mean([one.influence for one in trainings], axis=0),
        ranking_noise=float(np.mean([one.ranking_noise for one in trainings])) / len(trainings),  # if they had no more
        replicates=(np.array([one.value for one in trainings]),),
    )


def _paired(first: Scores, second: Scores) -> tuple[np.ndarray, ...]:
    """Trainings of a difference: pair by pair where both have as many, for then their seeds are the same."""
    both = (*first.replicates, *second.replicates)
    return (both[0] - both[1],) if len(both) == 2 and len(both[0]) == len(both[1]) else both


def interval(scores: Scores, bounds: tuple[float, float]) -> Interval:
    """95 % interval of a metric, within its bounds: on the logit scale where it has two, on a log scale where one.

    Args:
        scores: of one procedure.
        bounds: lowest and highest possible value.
    """
    value, low, high = scores.value, *bounds
    if not math.isfinite(value):
        return Interval(math.nan, math.nan, math.nan, math.nan)
    span = high - low
    error, degrees = _error(scores, span)
    width = _quantile(degrees) * error
    if not math.isfinite(span):
        if error == 0:  # equal cases tell nothing of how sure it is
            return Interval(value, math.nan, math.nan, math.nan)
        return Interval(value, *_one_sided(value, width, low, high), error)
    margin = 1 / (2 * max(scores.smallest, 1))
    share = min(max((value - low) / span, margin), 1 - margin)
    centre, reach = math.log(share / (1 - share)), width / span / (share * (1 - share))
    ends = [low + span / (1 + math.exp(-min(max(centre + sign * reach, -700), 700))) for sign in (-1, 1)]
    # a value that no finite logit tells from a bound may be the bound
    return Interval(
        value,
        ends[0] if value >= low + margin * span else low,
        ends[1] if value <= high - margin * span else high,
        error,
    )


def _one_sided(value: float, width: float, low: float, high: float) -> tuple[float, float]:
    """Limits by the distance to the one finite bound on a log scale; plain ones where there is none, or no distance."""
    if math.isfinite(high) and value < high:
        gap = high - value
        return high - gap * math.exp(min(width / gap, 700)), high - gap * math.exp(-width / gap)
    if math.isfinite(low) and value > low:
        gap = value - low
        return low + gap * math.exp(-width / gap), low + gap * math.exp(min(width / gap, 700))
    return max(value - width, low), min(value + width, high)


def difference(scores: Scores, other: Scores, bounds: tuple[float, float]) -> tuple[Interval, float]:
    """Difference of two procedures on the same patients and splits, with a 95 % interval and its two-sided p value.

    Args:
        scores: of the one.
        other: of the other, which is subtracted.
        bounds: lowest and highest possible value of the metric.
    """
    change = scores.minus(other)
    value, span = change.value, bounds[1] - bounds[0]
    error, degrees = _error(change, span * math.sqrt(2))
    width = _quantile(degrees) * error
    if not math.isfinite(value + width) or error <= _SAME * _error(scores, span)[0]:
        return Interval(value, math.nan, math.nan, math.nan), math.nan
    p = float(2 * student.sf(abs(value) / error, degrees))
    return Interval(value, max(value - width, -span), min(value + width, span), error), p


def _error(scores: Scores, span: float) -> tuple[float, float]:
    """Standard error, never as good as none however equal the cases are, and its degrees of freedom.

    The choice of patients and that of the trainings' seeds add; degrees of freedom by Welch and Satterthwaite.
    """
    least = _LEAST_ERROR * span / max(scores.smallest, 1) if math.isfinite(span) else 0.0
    patients, degrees = max(variance(scores), least**2), float(scores.degrees)
    parts = [(patients, degrees)]
    parts += [(float(values.var(ddof=1)) / len(values), len(values) - 1) for values in scores.replicates]
    total = sum(part for part, _ in parts)
    if total > 0:
        degrees = total**2 / sum(part**2 / freedom for part, freedom in parts)
    return math.sqrt(total), degrees


def _quantile(degrees: float) -> float:
    return float(student.ppf((1 + LEVEL) / 2, degrees))


def holm(p_values: np.ndarray) -> np.ndarray:
    """Holm's (1979) step-down adjusted p values of one family, float64 `[n]`; NaN stays and counts as no comparison.

    Args:
        p_values: float64 `[n]`.
    """
    adjusted = np.full(len(p_values), math.nan)
    order = [i for i in np.argsort(p_values, kind="stable") if math.isfinite(p_values[i])]
    largest = 0.0
    for position, index in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - position) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def spread(values: np.ndarray) -> float:
    """Standard deviation (ddof 1) of the finite values; NaN for fewer than two."""
    kept = values[np.isfinite(values)]
    return float(kept.std(ddof=1)) if len(kept) > 1 else math.nan
