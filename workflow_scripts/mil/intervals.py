"""How sure a metric is: intervals of the performance that a procedure is expected to have, and of differences.

What is estimated is the expected value of the metric when the whole procedure, a representation with its head, learns
from a new cohort of the size of a training part and is tested on new patients. The variance is that of `mil.variance`;
what the intervals cover is shown by a simulation in docs/benchmark.md.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from workflow_scripts.core.tasks import Metric
from workflow_scripts.mil.variance import Scores, variance

LEVEL = 0.95
# Standard error of a share of m cases that is given at least: with it, the lower limit of a share of 1 is about
# 1 - 3 / m, the rule of three (Hanley and Lippman-Hand 1983).
_LEAST_ERROR = 0.41
_SAME = 1e-9  # of an error, what rounding leaves of the difference of equal predictions


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % limits and standard error; NaN where there is none."""

    value: float
    low: float
    high: float
    error: float


def covers(metric: Metric, scores: Scores) -> bool:
    """Whether the interval of a metric was shown to cover it (docs/benchmark.md).

    Heads balance the classes. Where one is rare, its few patients move the threshold, and with it all tests alike,
    which repeats of the folds hardly show; metrics that weigh classes by their share go with it. Models that are fixed,
    of a part held out, do not move.
    """
    return metric.has_interval and (scores.share >= metric.least_share or scores.design == "held_out")


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
