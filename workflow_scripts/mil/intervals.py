"""How sure a metric is: patient bootstrap, paired differences, and mean and spread over folds."""

import math
from dataclasses import dataclass

import numpy as np
import sklearn

from workflow_scripts.core.seeds import derive_seed
from workflow_scripts.mil.metrics import Metric, Outcomes


@dataclass(frozen=True)
class Interval:
    """A value with the 2.5 % and 97.5 % quantiles of its bootstrap; NaN where there is none."""

    value: float
    low: float
    high: float


def patient_resamples(n: int, bootstraps: int, seed: int) -> np.ndarray:
    """Rows of `n` patients drawn with replacement, int64 `[bootstraps, n]`.

    Representations are compared on the same resamples, so the draw depends on `n` and `seed` alone.
    """
    random = np.random.default_rng(derive_seed(seed, "bootstrap"))
    return random.integers(0, n, size=(bootstraps, n))


def bootstrap_values(metrics: dict[str, Metric], outcomes: Outcomes, resamples: np.ndarray) -> dict[str, np.ndarray]:
    """Metrics of every resample of patients.

    Args:
        metrics: functions by name.
        outcomes: n patients.
        resamples: int64 `[B, n]`, see `patient_resamples`.

    Returns:
        float64 `[B]` by metric; NaN for resamples with one class or where the metric is undefined.
    """
    values = {name: np.full(len(resamples), math.nan) for name in metrics}
    with sklearn.config_context(assume_finite=True, skip_parameter_validation=True):
        for position, index in enumerate(resamples):
            drawn = outcomes.take(index)
            if drawn.one_class:
                continue
            for name, metric in metrics.items():
                values[name][position] = metric(drawn)
    return values


def percentile_interval(value: float, resampled: np.ndarray) -> Interval:
    """95 % percentile interval around `value`; resamples that are NaN are skipped."""
    kept = resampled[np.isfinite(resampled)]
    if not len(kept):
        return Interval(value, math.nan, math.nan)
    low, high = np.quantile(kept, [0.025, 0.975])
    return Interval(value, float(low), float(high))


def paired_difference(value: float, resampled: np.ndarray, base: float, base_resampled: np.ndarray) -> Interval:
    """Difference to a baseline on the same patients and the same resamples, `value - base`.

    Args:
        value: the metric over all patients.
        resampled: float64 `[B]`, the metric of each resample.
        base: the baseline's metric over all patients.
        base_resampled: float64 `[B]`, row b from the same resample of the same patients as `resampled`.
    """
    return percentile_interval(value - base, resampled - base_resampled)


def mean_sd(values: list[float]) -> tuple[float, float]:
    """Mean and standard deviation (ddof 1) over folds; NaN folds are skipped, too few folds give NaN."""
    kept = np.array([value for value in values if math.isfinite(value)])
    mean = float(kept.mean()) if len(kept) else math.nan
    return mean, float(kept.std(ddof=1)) if len(kept) > 1 else math.nan
