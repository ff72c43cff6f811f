"""Survival probabilities from what heads predict: risks of a proportional hazards model, or hazards of intervals."""

import numpy as np


def log_baseline(risk: np.ndarray, target: np.ndarray, weights: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Logarithm of Breslow's cumulative baseline hazard (1972) at some times, float64 `[T]`; -inf before any event.

    Each event adds its weight over the sum of exp(risk) of those still at risk, by weight; so does each of several at
    one time. It stays as it is after the last event.

    Args:
        risk: log hazards of the training cases, float64 `[m]`.
        target: their fields `time` and `event`, `[m]`.
        weights: what each counts, float64 `[m]`, above 0.
        times: float64 `[T]`.
    """
    order = np.argsort(-target["time"], kind="stable")
    time, event = target["time"][order], target["event"][order]
    at_risk = np.logaddexp.accumulate(risk[order] + np.log(weights[order]))
    last = np.searchsorted(-time, -time, side="right") - 1  # who leaves at the same time is still at risk
    steps = np.where(event, np.log(weights[order]) - at_risk[last], -np.inf)[::-1]  # in the order of time
    cumulative = np.logaddexp.accumulate(np.concatenate([[-np.inf], steps]))
    return np.asarray(cumulative[np.searchsorted(time[::-1], times, side="right")])


def proportional(risk: np.ndarray, baseline: np.ndarray) -> np.ndarray:
    """Survival probabilities exp(-exp(risk) H), float64 `[n, T]`, of risks `[n]` and the logarithm `[T]` of H."""
    with np.errstate(over="ignore"):  # a hazard beyond all bounds leaves nobody
        return np.asarray(np.exp(-np.exp(risk[:, None] + baseline)))


def between(survival: np.ndarray, ends: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Survival probabilities at times within intervals, float64 `[n, T]`: straight lines from 1 at time 0 on.

    A line is a constant density within an interval (Kvamme and Borgan 2021, Lifetime Data Anal. 27). After the last
    end they stay as they are.

    Args:
        survival: at the ends of K intervals, float64 `[n, K]`.
        ends: float64 `[K]`, rising.
        times: float64 `[T]`.
    """
    knots = np.concatenate([[0.0], ends])
    curves = np.concatenate([np.ones((len(survival), 1)), survival], axis=1)
    return np.array([np.interp(times, knots, curve) for curve in curves]).reshape(len(curves), len(times))


def with_curves(risk: np.ndarray, curves: np.ndarray) -> np.ndarray:
    """What a head returns of survival: risks `[n]`, or where there are times, `[n, 1 + T]` with the probabilities."""
    return np.column_stack([risk, curves]) if curves.shape[1] else risk
