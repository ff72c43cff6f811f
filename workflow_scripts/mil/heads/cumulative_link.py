"""Proportional odds on the slide vector, for grades."""

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_expit

from workflow_scripts.mil.bags import Bags
from workflow_scripts.mil.head import Scaler, VectorHead, balanced, spread

GRID = (1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0)
TINY = 1e-12


class CumulativeLink:
    """P(grade <= k) = logistic(threshold_k - x b) (McCullagh 1980, J. R. Stat. Soc. B 42), b penalised by b^2 / (2 C).

    Thresholds are the first and the logarithms of the steps to the next, so that they stay in order.
    """

    def __init__(self, x: np.ndarray, grade: np.ndarray, weights: np.ndarray, c: float, tol: float = 1e-8) -> None:
        """Fit to vectors float64 `[n, D]`, grades 0 to K - 1 that all occur int64 `[n]` and weights `[n]`."""
        steps = int(grade.max())
        share = np.cumsum(np.bincount(grade, weights))[:-1] / weights.sum()
        first = np.log(share / (1 - share))
        start = np.concatenate([np.zeros(x.shape[1]), first[:1], np.log(np.diff(first))])
        found = minimize(
            _loss,
            start,
            (x, grade, weights, c),
            "L-BFGS-B",
            jac=True,
            options={"maxiter": 20_000, "maxfun": 50_000, "ftol": 1e-15, "gtol": tol * len(x), "maxcor": 30},
        )
        self.slopes, self.thresholds = found.x[:-steps], _thresholds(found.x[-steps:])

    def probabilities(self, x: np.ndarray) -> np.ndarray:
        """Probabilities of the grades float64 `[n, K]`."""
        below = expit(self.thresholds - (x @ self.slopes)[:, None])
        return np.diff(below, axis=1, prepend=0.0, append=1.0)


def _thresholds(free: np.ndarray) -> np.ndarray:
    return np.cumsum(np.concatenate([free[:1], np.exp(free[1:])]))


def _loss(
    free: np.ndarray, x: np.ndarray, grade: np.ndarray, weights: np.ndarray, c: float
) -> tuple[float, np.ndarray]:
    """Penalised negative log-likelihood, and its gradient by the slopes and the free form of the thresholds.

    log(s(u) - s(l)) = log s(u) + log s(-l) + log(1 - exp(l - u)), with u and l the thresholds above and below a grade.
    """
    steps = int(grade.max())
    slopes, threshold = free[:-steps], _thresholds(free[-steps:])
    middle = x @ slopes
    edges = np.concatenate([[-np.inf], threshold, [np.inf]])
    upper, lower = edges[grade + 1] - middle, edges[grade] - middle
    gap = edges[grade + 1] - edges[grade]
    value = log_expit(upper) + log_expit(-lower) + np.log(-np.expm1(-gap))
    inside = 1 / np.expm1(gap.clip(TINY))  # d/d gap of log(1 - exp(-gap)); zero where the gap is infinite
    by_upper, by_lower = expit(-upper) + inside, -expit(lower) - inside
    by_edge = np.bincount(grade + 1, weights * by_upper, steps + 2) + np.bincount(grade, weights * by_lower, steps + 2)
    by_threshold = by_edge[1:-1]
    after = np.cumsum(by_threshold[::-1])[::-1]  # a step moves all thresholds from its own on
    by_free = after * np.concatenate([[1.0], np.exp(free[-steps:][1:])])
    by_slopes = -x.T @ (weights * (by_upper + by_lower))
    loss = -weights @ value + slopes @ slopes / (2 * c)
    return loss, np.concatenate([-by_slopes + slopes / c, -by_free])


class CumulativeLinkHead(VectorHead):
    """Proportional odds after standardisation, grades balanced; C given or chosen as for logistic regression."""

    def fit(self, train: Bags, validation: Bags, seed: int) -> dict[str, float]:
        c = self.given_or_chosen("c", GRID, self._losses, train, validation, seed, otherwise=1.0)
        self._n_classes = train.n_classes
        self._scaler, self._seen, self._model = self._fitted(train, c)
        return {"c": c}

    @staticmethod
    def _fitted(train: Bags, c: float, tol: float = 1e-8) -> tuple[Scaler, np.ndarray, CumulativeLink]:
        scaler = Scaler(train)
        seen, grade = np.unique(train.target, return_inverse=True)
        return scaler, seen, CumulativeLink(scaler(train.vectors), grade, balanced(grade, train.weights), c, tol)

    def _losses(self, train: Bags, held: Bags) -> np.ndarray:
        losses, of_held = [], balanced(held.target, held.weights)
        for c in GRID:
            scaler, seen, model = self._fitted(train, c, 1e-5)
            probabilities = spread(model.probabilities(scaler(held.vectors)), seen, train.n_classes)
            losses.append(-of_held @ np.log(probabilities[np.arange(len(held)), held.target].clip(TINY)))
        return np.array(losses)

    def predict_vectors(self, vectors: np.ndarray) -> np.ndarray:
        return spread(self._model.probabilities(self._scaler(vectors)), self._seen, self._n_classes)
