"""Metrics of a risk, and of survival probabilities, against the time to an event or to censoring."""

import math

import numpy as np

from workflow_scripts.mil.metrics.forms import PairMetric
from workflow_scripts.mil.metrics.outcomes import Outcomes

_PAIRS_AT_ONCE = 2**22
_QUARTERS = [0.25, 0.5, 0.75]


def _comparable_pairs(outcomes: Outcomes) -> np.ndarray:
    """Pairs in which one has an event before the other's event or censoring: credit where its risk is higher.

    A case that is censored at the time of another's event has outlived it. Time and memory go with events x cases.
    """
    time, event, risk = outcomes.target["time"], outcomes.target["event"], outcomes.prediction
    counts = np.zeros((len(outcomes), 1, 2))
    events = np.flatnonzero(event)
    step = max(1, _PAIRS_AT_ONCE // max(1, len(outcomes)))
    for start in range(0, len(events), step):
        first = events[start : start + step]
        later = (time > time[first, None]) | ((time == time[first, None]) & ~event)
        credit = later * (0.5 + 0.5 * np.sign(risk[first, None] - risk))
        for column, pairs in enumerate((credit, later)):
            counts[first, 0, column] += pairs.sum(axis=1)
            counts[:, 0, column] += pairs.sum(axis=0)
    return counts


c_index = PairMetric(_comparable_pairs)
"""Harrell's concordance (1982): of comparable pairs, the fraction in which the earlier event has the higher risk.

Equal risks count half. The sign is fixed and never chosen by the result. NaN where no pair is comparable.
"""


def _uncensored_before(time: np.ndarray, event: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Probability of not being censored before each of the times `at`: Kaplan-Meier of the censoring.

    Of an event and a censoring at the same time, the event comes first.
    """
    moments, stays = _stays(time, event)
    return _until(stays)[np.searchsorted(moments, at, "left")]


def _stays(time: np.ndarray, event: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Different times, rising, and the share of those at risk at each that is not censored then, `[K]` both."""
    moments, censored, at_risk = _censored(time, event)
    return moments, 1 - censored / np.maximum(at_risk, 1)


def _censored(time: np.ndarray, event: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Different times, rising; how many are censored at each; and how many could be, `[K]` each."""
    moments, place = np.unique(time, return_inverse=True)
    events = np.bincount(place, weights=event, minlength=len(moments))
    censored = np.bincount(place, weights=~event, minlength=len(moments))
    return moments, censored, len(time) - np.searchsorted(np.sort(time), moments, "left") - events


def _until(stays: np.ndarray) -> np.ndarray:
    """Products of the first 0, 1, ... K shares along the last axis, `[..., K]` -> `[..., K + 1]`."""
    return np.concatenate([np.ones((*stays.shape[:-1], 1)), np.cumprod(stays, axis=-1)], axis=-1)


def time_dependent_auc(outcomes: Outcomes) -> float:
    """Cumulative/dynamic AUC (Uno et al. 2007), mean over the three quartiles of the event times.

    At time t it is the share of pairs of a case with an event until t and one that outlives t in which the former has
    the higher risk, former cases weighed by the inverse probability of being uncensored until their event. The
    censoring is estimated from the same cases, and taken as independent of event and risk. A quartile that no case
    outlives is left out; NaN where none is left.
    """
    time, event, risk = outcomes.target["time"], outcomes.target["event"], outcomes.prediction
    if not event.any():
        return math.nan
    weight = 1 / _uncensored_before(time, event, time)
    values = []
    for moment in np.quantile(time[event], _QUARTERS, method="inverted_cdf"):
        early, alive = event & (time <= moment), np.sort(risk[time > moment])
        if len(alive):
            lower = np.searchsorted(alive, risk[early], "left") + np.searchsorted(alive, risk[early], "right")
            values.append(np.average(lower / (2 * len(alive)), weights=weight[early]))
    return float(np.mean(values)) if values else math.nan


N_TIMES = 20
_LAST = 0.9


def brier_times(time: np.ndarray, event: np.ndarray) -> np.ndarray:
    """Times at which survival is judged, float64 `[20]`: the middles of equal parts of the time until most have come.

    So their mean is the integral over time. The last part ends with nine tenths of the events, for of later times few
    cases tell; where there is no event, it ends with nine tenths of the cases.

    Args:
        time: of the cases that are tested, float64 `[n]`, n >= 1.
        event: bool `[n]`.
    """
    last = np.quantile(time[event] if event.any() else time, _LAST, method="inverted_cdf")
    return float(last) * (np.arange(N_TIMES) + 0.5) / N_TIMES


def brier_without_skill(time: np.ndarray, event: np.ndarray, times: np.ndarray) -> float | None:
    """Integrated Brier score of the cases' own Kaplan-Meier curve S, given to each: the mean of S (1 - S) over times.

    Args:
        time: of the cases that are tested, float64 `[n]`.
        event: bool `[n]`.
        times: float64 `[T]`; those that no case outlives are left out, and None is returned where none is left.
    """
    share = (time[:, None] > times).mean(axis=0)
    moments, stays = _stays(time, event)
    known = share > 0
    curve = share[known] / _until(stays)[np.searchsorted(moments, times[known], "right")]
    return float((curve * (1 - curve)).mean()) if known.any() else None


class _IntegratedBrier:
    def __call__(self, outcomes: Outcomes) -> float:
        time, event = outcomes.target["time"], outcomes.target["event"]
        if not (len(outcomes) and outcomes.survival.shape[1]):
            return math.nan
        died, alive = _squares(outcomes)
        moments, stays = _stays(time, event)
        after = _until(stays)[np.searchsorted(moments, outcomes.times, "right")]
        known = (time[:, None] > outcomes.times).any(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):  # of times that nobody outlives, which are left out
            scores = (died / _uncensored_before(time, event, time)[:, None] + alive / after).mean(axis=0)
        return float(scores[known].mean()) if known.any() else math.nan

    def without(self, outcomes: Outcomes, group: np.ndarray, n_groups: int) -> np.ndarray:
        """The metric without the cases of each group, float64 `[G]`; `group` int64 `[n]` is from 0 to G - 1."""
        sizes, values = np.bincount(group, minlength=n_groups), np.full(n_groups, math.nan)
        if outcomes.survival.shape[1]:
            alone = np.flatnonzero(sizes[group] == 1)
            values[group[alone]] = _without_one(outcomes)[alone]
            for g in np.flatnonzero(sizes > 1):
                values[g] = self(outcomes.take(group != g))
        return values


def _squares(outcomes: Outcomes) -> tuple[np.ndarray, np.ndarray]:
    """Squared errors at each time: of cases whose event came, and of those that outlive it, else 0, `[n, T]` each."""
    alive = outcomes.target["time"][:, None] > outcomes.times
    died = outcomes.target["event"][:, None] & ~alive
    return died * outcomes.survival**2, alive * (1 - outcomes.survival) ** 2


def _inverse(values: np.ndarray) -> np.ndarray:
    """1 / values, and 0 for those that are not above 0, which nobody's error is divided by."""
    return np.where(values > 0, 1 / np.where(values > 0, values, 1), 0)


def _without_one(outcomes: Outcomes) -> np.ndarray:
    """The integrated Brier score without each case, float64 `[n]`, in time and memory that go with n x T.

    Without a case that leaves at a moment, the shares that stay uncensored until that moment are of one fewer at risk,
    and those after it are as they were. So the inverse probabilities of all others are of two kinds, and the sums over
    them are two running sums: of those that left no later than the case, and of those that left after it.
    """
    time, event, times = outcomes.target["time"], outcomes.target["event"], outcomes.times
    died, alive = _squares(outcomes)
    moments, censored, at_risk = _censored(time, event)
    own = np.searchsorted(moments, time)
    fewer = _until(1 - censored / np.maximum(at_risk - 1, 1))  # before each moment, without a case that leaves later
    whole = _until(1 - censored / np.maximum(at_risk, 1))
    there = 1 - (censored[own] - ~event) / np.maximum(at_risk[own] - ~event, 1)  # the share at its own moment
    changed = whole[own + 1] * _inverse(fewer[own] * there)  # of the inverse probabilities after it
    sums = np.zeros((2, len(moments), len(times)))
    for part, until in zip(sums, (fewer, whole), strict=True):
        np.add.at(part, own, died * _inverse(until)[own, None])
    earlier = np.cumsum(sums[0], axis=0)[own] - died * _inverse(fewer)[own, None]
    later = np.cumsum(sums[1, ::-1], axis=0)[::-1] - sums[1]
    total = earlier + changed[:, None] * later[own]
    place = np.searchsorted(moments, times, "right")
    outlives = own[:, None] >= place
    rest = alive.sum(axis=0) - alive
    total += rest * np.where(outlives, _inverse(fewer)[place], changed[:, None] * _inverse(whole)[place])
    known = outlives.sum(axis=0) - outlives > 0
    with np.errstate(invalid="ignore"):
        return (total * known).sum(axis=1) / known.sum(axis=1) / (len(time) - 1)


integrated_brier = _IntegratedBrier()
"""Brier score of the survival probabilities, integrated over time (Graf et al. 1999, Stat. Med. 18).

At time t it is the mean over cases of the squared distance of the probability of no event until t from what came: 0 for
a case with an event until t, weighed by the inverse probability of being uncensored until its event, 1 for one that
outlives t, weighed by that of being uncensored until t. One that is censored before has no weight. The censoring is
estimated from the same cases (Kaplan-Meier), and taken as independent of event and prediction. So weights sum to the
number of cases, and a probability of one half scores 0.25. The mean over `times` (`brier_times`) is the integral over
their range. A time that no case outlives is left out; NaN where none is left, or nothing is predicted for any.
"""
