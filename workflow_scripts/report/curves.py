"""Curves from predictions: ROC, confusion, Kaplan-Meier, log-rank. Numbers only."""

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np

from workflow_scripts.core.tasks import Column, Kind


@dataclass(frozen=True)
class Patients:
    """Predictions averaged over each patient's slides; one entry a patient.

    Attributes:
        fold: `[n]` int, the fold in which the patient was tested.
        truth: `[n]` by column of the kind's `truth`: class numbers int64 (-1 for a class that is not known), or what
            the column holds, for survival `time` float64 and `event` bool.
        scores: `[n, classes]` probabilities, or `[n, 1]` what was predicted, for survival the risk.
    """

    fold: np.ndarray
    truth: dict[str, np.ndarray]
    scores: np.ndarray


def _truth(column: Column, rows: list[dict[str, Any]], kind: Kind, classes: list[str]) -> np.ndarray:
    values = [row[column.name] for row in rows]
    if kind.has_classes:
        return np.array([classes.index(value) if value in classes else -1 for value in values], np.int64)
    return np.array(values, column.type)


def by_patient(rows: list[dict[str, Any]], kind: Kind, classes: list[str]) -> Patients:
    """Average the predictions of a patient's slides within a fold; rows without a prediction are left out.

    Args:
        rows: rows of predictions.parquet.
        kind: kind of the task.
        classes: class names in the order of the predictions; empty for kinds without classes.
    """
    groups: dict[tuple[int, str], list[tuple[dict[str, Any], list[float]]]] = defaultdict(list)
    for row in rows:
        predicted = row[kind.prediction.name]
        score = predicted if isinstance(predicted, list) else [predicted]
        if all(value is not None and math.isfinite(value) for value in score):
            groups[row["fold"], row["patient_id"] or row["slide_id"]].append((row, score))
    keys = sorted(groups)
    first = [groups[key][0][0] for key in keys]
    return Patients(
        fold=np.array([key[0] for key in keys], np.int64),
        truth={column.name: _truth(column, first, kind, classes) for column in kind.truth},
        scores=np.array([np.mean([score for _, score in groups[key]], axis=0) for key in keys]),
    )


def roc(positive: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """False and true positive rate over all thresholds, and the area under the curve; equal scores are one step.

    Args:
        positive: `[n]` bool, with at least one of each.
        score: `[n]` float.
    """
    order = np.argsort(-score, kind="stable")
    ends = np.append(np.nonzero(np.diff(score[order]))[0], len(score) - 1)
    hits = np.cumsum(positive[order])[ends]
    tpr = np.concatenate([[0.0], hits / positive.sum()])
    fpr = np.concatenate([[0.0], (ends + 1 - hits) / (~positive).sum()])
    return fpr, tpr, float(np.trapezoid(tpr, fpr))


def confusion(label: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Counts `[classes, classes]`: row the true class, column the predicted one."""
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (label, predicted), 1)
    return counts


def kaplan_meier(time: np.ndarray, event: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Kaplan-Meier (1958) estimate: event times from 0, and the survival from each of them on.

    Args:
        time: `[n]` time to event or censoring.
        event: `[n]` bool, true for an event.
    """
    times = np.unique(time[event])
    at_risk = (time[None, :] >= times[:, None]).sum(1)
    deaths = ((time[None, :] == times[:, None]) & event[None, :]).sum(1)
    survival = np.cumprod(1 - deaths / at_risk)
    return np.concatenate([[0.0], times]), np.concatenate([[1.0], survival])


def log_rank(time: np.ndarray, event: np.ndarray, group: np.ndarray) -> float:
    """Two-sided p value of the log-rank test (Mantel 1966) between `group` true and false; NaN without events."""
    observed = expected = variance = 0.0
    for moment in np.unique(time[event]):
        risk, died = time >= moment, (time == moment) & event
        n, n1, d = risk.sum(), (risk & group).sum(), died.sum()
        observed += (died & group).sum()
        expected += d * n1 / n
        if n > 1:
            variance += d * (n1 / n) * (1 - n1 / n) * (n - d) / (n - 1)
    if variance == 0:
        return math.nan
    return math.erfc(math.sqrt((observed - expected) ** 2 / variance / 2))


def risk_halves(risk: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Whether each risk lies above the median of its fold: folds have models of their own, so no common scale."""
    high = np.zeros(len(risk), bool)
    for number in np.unique(fold):
        inside = fold == number
        high[inside] = risk[inside] > np.median(risk[inside])
    return high


def thin(values: np.ndarray, points: int) -> np.ndarray:
    """Means of `points` consecutive bins of `values` `[n]`, so that long curves stay light; short ones unchanged."""
    if len(values) <= points:
        return values
    edges = np.linspace(0, len(values), points + 1).astype(int)
    return np.add.reduceat(values, edges[:-1]) / np.diff(edges)
