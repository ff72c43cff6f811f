"""Metrics of predictions, one value from one row a patient. NaN where a metric is not defined."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from lifelines.utils import concordance_index as lifelines_concordance
from sklearn.metrics import accuracy_score, cohen_kappa_score, recall_score, roc_auc_score

from workflow_scripts.core.tasks import KINDS


@dataclass(frozen=True)
class Outcomes:
    """What was true and what was predicted, one row a patient.

    Attributes:
        target: labels `[n]` as `bags.target_array` makes them: int64 class indices; for survival the fields `time`
            and `event`.
        prediction: probabilities float64 `[n, C]`, or one value a patient float64 `[n]`; for survival the risk, higher
            means an earlier event.
    """

    target: np.ndarray
    prediction: np.ndarray

    def __len__(self) -> int:
        return len(self.target)

    def take(self, index: np.ndarray) -> "Outcomes":
        """Rows `index`, repeats allowed."""
        return Outcomes(self.target[index], self.prediction[index])

    @property
    def predicted(self) -> np.ndarray:
        """int64 `[n]`: the class of the highest probability."""
        return self.prediction.argmax(axis=1)

    @property
    def one_class(self) -> bool:
        """Whether the labels are classes and only one of them is there."""
        return self.target.dtype == np.int64 and len(np.unique(self.target)) < 2


def auc(outcomes: Outcomes) -> float:
    """Area under the ROC curve: two classes, positive is the last; more, the mean of each against the rest.

    NaN where a class has no patient or all patients.
    """
    classes = range(outcomes.prediction.shape[1])
    present = np.bincount(outcomes.target, minlength=len(classes)) > 0
    if not present.all() or len(classes) < 2:
        return math.nan
    wanted = classes if len(classes) > 2 else [1]
    return float(np.mean([roc_auc_score(outcomes.target == c, outcomes.prediction[:, c]) for c in wanted]))


def accuracy(outcomes: Outcomes) -> float:
    """Fraction of patients whose most probable class is theirs."""
    return float(accuracy_score(outcomes.target, outcomes.predicted))


def balanced_accuracy(outcomes: Outcomes) -> float:
    """Mean over the classes that are there of the fraction of their patients found."""
    present = np.unique(outcomes.target)
    return float(recall_score(outcomes.target, outcomes.predicted, labels=present, average="macro", zero_division=0))


def quadratic_kappa(outcomes: Outcomes) -> float:
    """Cohen's kappa with quadratic weights on the distance between grades; NaN with one class."""
    if outcomes.one_class:
        return math.nan
    grades = np.arange(outcomes.prediction.shape[1])
    return float(cohen_kappa_score(outcomes.target, outcomes.predicted, labels=grades, weights="quadratic"))


def c_index(outcomes: Outcomes) -> float:
    """Harrell's concordance: of comparable pairs, the fraction in which the earlier event has the higher risk.

    The sign is fixed and never chosen by the result. NaN where no pair is comparable.
    """
    try:
        return float(lifelines_concordance(outcomes.target["time"], -outcomes.prediction, outcomes.target["event"]))
    except ZeroDivisionError:
        return math.nan


Metric = Callable[[Outcomes], float]
METRICS: dict[str, Metric] = {
    "auc": auc,
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "quadratic_kappa": quadratic_kappa,
    "c_index": c_index,
}
"""Functions of the metrics that `core.tasks` names."""


def metrics_of(kind: str) -> dict[str, Metric]:
    """Functions of a kind's metrics by name, in the kind's order."""
    return {name: METRICS[name] for name in KINDS[kind].metrics}
