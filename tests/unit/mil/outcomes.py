"""Random outcomes of every kind of task."""

import numpy as np

from workflow_scripts.mil.metrics import Outcomes
from workflow_scripts.mil.metrics.survival import brier_times


def classes(n: int, n_classes: int, seed: int, ties: bool = True) -> Outcomes:
    """Probabilities that know something of the class; every class is there. With ties, few distinct ones."""
    random = np.random.default_rng(seed)
    label = np.concatenate([np.arange(n_classes), random.integers(0, n_classes, n - n_classes)])
    raw = random.random((n, n_classes)) + np.eye(n_classes)[label] * 0.4
    if ties:
        raw = np.round(4 * raw) + 0.5
    return Outcomes(label, raw / raw.sum(axis=1, keepdims=True))


def survival(time, event, risk) -> Outcomes:
    """Survival probabilities are of an exponential law, whose hazard goes with the risk."""
    time, event, risk = np.asarray(time, float), np.asarray(event, bool), np.asarray(risk, float)
    pairs = list(zip(time, event, strict=True))
    times = brier_times(time, event)
    curves = np.exp(-np.exp(risk - np.median(risk))[:, None] * times / np.median(time))
    return Outcomes(np.array(pairs, dtype=[("time", float), ("event", bool)]), risk, times, curves)


def survived(n: int, seed: int, ties: bool = True) -> Outcomes:
    """Risks that know something of the time; with ties, few distinct times and risks."""
    random = np.random.default_rng(seed)
    time, event = random.exponential(10, n), random.random(n) < 0.6
    risk = -0.1 * time + random.normal(0, 1, n)
    return survival(np.ceil(time), event, np.round(risk, 1)) if ties else survival(time, event, risk)


def values(n: int, seed: int, ties: bool = True) -> Outcomes:
    """Predictions that know something of the value; with ties, few distinct ones."""
    random = np.random.default_rng(seed)
    value = random.normal(50, 10, n)
    predicted = 0.5 * value + random.normal(20, 8, n)
    return Outcomes(np.round(value), np.round(predicted)) if ties else Outcomes(value, predicted)


def of_kind(kind: str, n: int, seed: int, ties: bool = True) -> list[Outcomes]:
    if kind == "survival":
        return [survived(n, seed, ties)]
    if kind == "regression":
        return [values(n, seed, ties)]
    return [classes(n, count, seed, ties) for count in (2, 3, 5)]
