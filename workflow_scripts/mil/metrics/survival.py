"""Metrics of a risk against the time to an event or to censoring."""

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
    moments, place = np.unique(time, return_inverse=True)
    events = np.bincount(place, weights=event, minlength=len(moments))
    censored = np.bincount(place, weights=~event, minlength=len(moments))
    at_risk = len(time) - np.searchsorted(np.sort(time), moments, "left") - events
    stays = np.cumprod(1 - censored / np.maximum(at_risk, 1))
    return np.append(1.0, stays)[np.searchsorted(moments, at, "left")]


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
