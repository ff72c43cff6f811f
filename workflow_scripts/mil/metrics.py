"""Metrics of predictions, one value from one row a patient. NaN where a metric is not defined."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from lifelines.utils import concordance_index as lifelines_concordance
from sklearn.metrics import accuracy_score, cohen_kappa_score, recall_score, roc_auc_score


@dataclass(frozen=True)
class Outcomes:
    """What was true and what was predicted, one row a patient.

    Attributes:
        label: int64 `[n]`, class index; -1 for survival.
        probabilities: float64 `[n, C]`; `[n, 0]` for survival.
        time: float64 `[n]`; survival only.
        event: bool `[n]`; survival only.
        risk: float64 `[n]`, higher means an earlier event; survival only.
    """

    label: np.ndarray
    probabilities: np.ndarray
    time: np.ndarray
    event: np.ndarray
    risk: np.ndarray

    def __len__(self) -> int:
        return len(self.label)

    def take(self, index: np.ndarray) -> "Outcomes":
        """Rows `index`, repeats allowed."""
        return Outcomes(
            self.label[index], self.probabilities[index], self.time[index], self.event[index], self.risk[index]
        )

    @property
    def predicted(self) -> np.ndarray:
        """int64 `[n]`: the class of the highest probability."""
        return self.probabilities.argmax(axis=1)

    @property
    def one_class(self) -> bool:
        """Whether only one class is there (survival: no event)."""
        if self.probabilities.shape[1]:
            return len(np.unique(self.label)) < 2
        return not self.event.any()


def auc(outcomes: Outcomes) -> float:
    """Area under the ROC curve: two classes, positive is the last; more, the mean of each against the rest.

    NaN where a class has no patient or all patients.
    """
    classes = range(outcomes.probabilities.shape[1])
    present = np.bincount(outcomes.label, minlength=len(classes)) > 0
    if not present.all() or len(classes) < 2:
        return math.nan
    wanted = classes if len(classes) > 2 else [1]
    return float(np.mean([roc_auc_score(outcomes.label == c, outcomes.probabilities[:, c]) for c in wanted]))


def accuracy(outcomes: Outcomes) -> float:
    """Fraction of patients whose most probable class is theirs."""
    return float(accuracy_score(outcomes.label, outcomes.predicted))


def balanced_accuracy(outcomes: Outcomes) -> float:
    """Mean over the classes that are there of the fraction of their patients found."""
    present = np.unique(outcomes.label)
    return float(recall_score(outcomes.label, outcomes.predicted, labels=present, average="macro", zero_division=0))


def quadratic_kappa(outcomes: Outcomes) -> float:
    """Cohen's kappa with quadratic weights on the distance between grades; NaN with one class."""
    if outcomes.one_class:
        return math.nan
    grades = np.arange(outcomes.probabilities.shape[1])
    return float(cohen_kappa_score(outcomes.label, outcomes.predicted, labels=grades, weights="quadratic"))


def c_index(outcomes: Outcomes) -> float:
    """Harrell's concordance: of comparable pairs, the fraction in which the earlier event has the higher risk.

    The sign is fixed and never chosen by the result. NaN where no pair is comparable.
    """
    try:
        return float(lifelines_concordance(outcomes.time, -outcomes.risk, outcomes.event))
    except ZeroDivisionError:
        return math.nan


Metric = Callable[[Outcomes], float]
_CLASSES: dict[str, Metric] = {"auc": auc, "accuracy": accuracy, "balanced_accuracy": balanced_accuracy}
METRICS: dict[str, dict[str, Metric]] = {
    "classification": _CLASSES,
    "ordinal": {**_CLASSES, "quadratic_kappa": quadratic_kappa},
    "survival": {"c_index": c_index},
}
