"""Metrics of predictions, one value from one row a case. NaN where a metric is not defined.

A metric is a function of `Outcomes`. Those with a method `without` (`forms`) are quick to compute without each of many
groups of cases (`jackknife`); any other function will do.
"""

from collections.abc import Callable

import numpy as np

from workflow_scripts.core.tasks import KINDS
from workflow_scripts.mil.metrics import within
from workflow_scripts.mil.metrics.classes import (
    accuracy,
    balanced_accuracy,
    brier,
    calibration_error,
    macro_f1,
    quadratic_kappa,
    sensitivity,
    specificity,
)
from workflow_scripts.mil.metrics.outcomes import Outcomes
from workflow_scripts.mil.metrics.ranking import auc, average_precision, somers_d
from workflow_scripts.mil.metrics.survival import c_index, integrated_brier, time_dependent_auc
from workflow_scripts.mil.metrics.values import mean_absolute_error, pearson, r2, spearman

__all__ = ["METRICS", "Metric", "Outcomes", "jackknife", "metrics_of"]

Metric = Callable[[Outcomes], float]
METRICS: dict[str, Metric] = {
    "auc": auc,
    "average_precision": average_precision,
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "macro_f1": macro_f1,
    "sensitivity": sensitivity,
    "specificity": specificity,
    "brier": brier,
    "calibration_error": calibration_error,
    "quadratic_kappa": quadratic_kappa,
    "somers_d": somers_d,
    "c_index": c_index,
    "time_dependent_auc": time_dependent_auc,
    "integrated_brier": integrated_brier,
    "r2": r2,
    "mean_absolute_error": mean_absolute_error,
    "pearson": pearson,
    "spearman": spearman,
}
"""Functions of the metrics that `core.tasks` names."""


def metrics_of(kind: str, n_classes: int = 0) -> dict[str, Metric]:
    """Functions of a kind's metrics by name, in the kind's order.

    Args:
        kind: name of `core.tasks.KINDS`.
        n_classes: classes of the task; those of two classes alone are left out where there are more.
    """
    named = KINDS[kind].metrics.items()
    return {name: METRICS[name] for name, facts in named if not (facts.two_classes and n_classes > 2)}


def jackknife(name: str, outcomes: Outcomes, groups: np.ndarray) -> np.ndarray:
    """The metric with each group of cases left out, to rounding what `METRICS[name]` gives for the others.

    Args:
        name: of the metric.
        outcomes: n cases.
        groups: `[n]` numbers of the groups, such as the patients.

    Returns:
        float64 `[G]`, groups in rising order of their numbers; NaN where the metric of the others is not defined.
    """
    return within.jackknife(METRICS[name], outcomes, groups)
