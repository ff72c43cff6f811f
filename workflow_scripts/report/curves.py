"""Curves from predictions: ROC, precision-recall, calibration, confusion, Kaplan-Meier, log-rank. Numbers only."""

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from workflow_scripts.core.budgets import WHOLE
from workflow_scripts.core.tasks import Column, Kind


@dataclass(frozen=True)
class Patients:
    """Predictions averaged over each patient's slides; one entry a patient (or slide), repeat and fold.

    Attributes:
        fold: `[n]` int, the fold in which the patient was tested.
        truth: `[n]` by column of the kind's `truth`: class numbers int64 (-1 for a class that is not known), or what
            the column holds, for survival `time` float64 and `event` bool.
        scores: `[n, classes]` probabilities, or `[n, 1]` what was predicted, for survival the risk.
        repeat: `[n]` int, the deal of the folds.
    """

    fold: np.ndarray
    truth: dict[str, np.ndarray]
    scores: np.ndarray
    repeat: np.ndarray

    def take(self, index: np.ndarray) -> "Patients":
        """Entries `index` (integers or a mask)."""
        truth = {name: values[index] for name, values in self.truth.items()}
        return Patients(self.fold[index], truth, self.scores[index], self.repeat[index])

    def first_repeat(self) -> "Patients":
        """Entries of the first repeat alone, in which a patient stands once."""
        return self.take(self.repeat == self.repeat.min()) if len(self.repeat) else self

    def parts(self, by_fold: bool = False) -> list["Patients"]:
        """The entries of each repeat, or of each fold of each repeat, whose scores have one scale."""
        group = self.repeat * (1 + self.fold.max(initial=0)) + self.fold if by_fold else self.repeat
        return [self.take(group == number) for number in np.unique(group)]


def _truth(column: Column, rows: list[dict[str, Any]], kind: Kind, classes: list[str]) -> np.ndarray:
    values = [row[column.name] for row in rows]
    if kind.has_classes:
        return np.array([classes.index(value) if value in classes else -1 for value in values], np.int64)
    return np.array(values, column.type)


def _shown(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of the first seed, trained on everything; where no split has that, of the budget that comes last."""
    budgets = list(dict.fromkeys(row.get("budget", WHOLE) for row in rows))
    budget = WHOLE if WHOLE in budgets or not budgets else budgets[-1]
    seed = min((row.get("seed") or 0 for row in rows), default=0)
    return [row for row in rows if row.get("budget", WHOLE) == budget and (row.get("seed") or 0) == seed]


def by_patient(rows: list[dict[str, Any]], kind: Kind, classes: list[str], unit: str = "patient_id") -> Patients:
    """Average the predictions of a patient's slides within a repeat and fold; rows without a prediction are left out.

    Of several seeds of a head the first is taken, for the average of models is better than one of them; of several
    sizes of the training part the whole one.

    Args:
        rows: rows of predictions.parquet.
        kind: kind of the task.
        classes: class names in the order of the predictions; empty for kinds without classes.
        unit: column of what has a label, `patient_id` or `slide_id`.
    """
    groups: dict[tuple[int, int, str], list[tuple[dict[str, Any], list[float]]]] = defaultdict(list)
    for row in _shown(rows):
        predicted = row[kind.prediction.name]
        score = predicted if isinstance(predicted, list) else [predicted]
        if all(value is not None and math.isfinite(value) for value in score):
            groups[row.get("repeat") or 0, row["fold"], row[unit] or row["slide_id"]].append((row, score))
    keys = sorted(groups)
    first = [groups[key][0][0] for key in keys]
    return Patients(
        fold=np.array([key[1] for key in keys], np.int64),
        truth={column.name: _truth(column, first, kind, classes) for column in kind.truth},
        scores=np.array([np.mean([score for _, score in groups[key]], axis=0) for key in keys]),
        repeat=np.array([key[0] for key in keys], np.int64),
    )


def roc(positive: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """False and true positive rate over all thresholds, and the area under the curve; equal scores are one step.

    Args:
        positive: `[n]` bool, with at least one of each.
        score: `[n]` float.
    """
    hits, called = _above_thresholds(positive, score)
    tpr = np.concatenate([[0.0], hits / positive.sum()])
    fpr = np.concatenate([[0.0], (called - hits) / (~positive).sum()])
    return fpr, tpr, float(np.trapezoid(tpr, fpr))


def precision_recall(positive: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Recall and precision over all thresholds from the highest on, and the average precision.

    The average is the sum over thresholds of the precision times the gain of recall, without interpolation.
    Arguments as of `roc`.
    """
    hits, called = _above_thresholds(positive, score)
    recall, precision = hits / positive.sum(), hits / called
    return recall, precision, float(np.diff(recall, prepend=0) @ precision)


def _above_thresholds(positive: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positive and all entries with a score of at least each distinct one, from the highest on."""
    order = np.argsort(-score, kind="stable")
    ends = np.append(np.nonzero(np.diff(score[order]))[0], len(score) - 1)
    return np.cumsum(positive[order])[ends], ends + 1


def _between(x: np.ndarray, y: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Heights of a curve, where it is vertical the middle; before its first point the height of that."""
    knots, first = np.unique(x, return_index=True)
    last = np.append(first[1:], len(x)) - 1
    before = np.clip(np.searchsorted(knots, at, "right") - 1, 0, len(knots) - 1)
    after = np.minimum(before + 1, len(knots) - 1)
    part = np.clip((at - knots[before]) / np.maximum(knots[after] - knots[before], 1e-12), 0, 1)
    middle = (y[first[before]] + y[last[before]]) / 2
    return np.where(part > 0, y[last[before]] + part * (y[first[after]] - y[last[before]]), middle)


def mean_curve(curves: list[tuple[np.ndarray, np.ndarray]], points: int = 201) -> tuple[np.ndarray, np.ndarray]:
    """Mean of curves at the same x (vertical averaging, Fawcett 2006); a single curve stays as it is.

    Args:
        curves: x, rising from 0 or above to 1, and y of each; several y at one x are a vertical piece.
        points: values of x from 0 to 1 at which they are averaged.
    """
    if len(curves) == 1:
        return curves[0]
    at = np.linspace(0, 1, points)
    mean = np.mean([_between(x, y, at) for x, y in curves], axis=0)
    ends = [np.mean([y[end] for _, y in curves]) for end in (0, -1)]
    return np.concatenate([[0.0], at, [1.0]]), np.concatenate([ends[:1], mean, ends[1:]])


class Calibration(NamedTuple):
    """Bins that hold anything: mean predicted probability, observed fraction, and number of entries, each `[b]`."""

    predicted: np.ndarray
    observed: np.ndarray
    size: np.ndarray


def calibration(probability: np.ndarray, hit: np.ndarray, bins: int = 10) -> Calibration:
    """Reliability of probabilities `[n]` of what came true `[n]` bool, in bins of equal width."""
    place = np.clip(np.ceil(np.round(probability * bins, 9)).astype(int), 1, bins) - 1
    count = np.bincount(place, minlength=bins)
    there = count > 0
    sums = [np.bincount(place, weights=values, minlength=bins)[there] for values in (probability, hit)]
    return Calibration(sums[0] / count[there], sums[1] / count[there], count[there])


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


class LogRank(NamedTuple):
    """Log-rank test of a group: two-sided p value, NaN without events; and its events beyond those expected."""

    p: float
    excess: float


def log_rank(time: np.ndarray, event: np.ndarray, group: np.ndarray) -> LogRank:
    """Log-rank test (Mantel 1966) between `group` true and false."""
    observed = expected = variance = 0.0
    for moment in np.unique(time[event]):
        risk, died = time >= moment, (time == moment) & event
        n, n1, d = risk.sum(), (risk & group).sum(), died.sum()
        observed += (died & group).sum()
        expected += d * n1 / n
        if n > 1:
            variance += d * (n1 / n) * (1 - n1 / n) * (n - d) / (n - 1)
    excess = float(observed - expected)
    return LogRank(math.erfc(math.sqrt(excess**2 / variance / 2)) if variance else math.nan, excess)


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
