"""Ridge regression on the slide vector."""

import numpy as np

from workflow_scripts.mil.bags import Bags
from workflow_scripts.mil.head import Affine, Scaler, VectorHead

GRID = tuple(float(alpha) for alpha in 10.0 ** np.arange(5, -3, -1))


def ridge_path(x: np.ndarray, y: np.ndarray, weights: np.ndarray, alphas: np.ndarray) -> tuple[np.ndarray, float]:
    """Coefficients that minimise sum(w (y - mean - x b)^2) + alpha b^2 for each alpha.

    Args:
        x: float64 `[n, D]` whose weighted means are zero.
        y: float64 `[n]`.
        weights: float64 `[n]`.
        alphas: float64 `[G]`.

    Returns:
        Coefficients `[D, G]`, and the weighted mean of y.
    """
    mean = float(np.average(y, weights=weights))
    root = np.sqrt(weights)
    rows, rest = x * root[:, None], root * (y - mean)
    wide = len(rows) < rows.shape[1]  # then by the products of the rows, else by those of the columns
    size, basis = np.linalg.eigh(rows @ rows.T if wide else rows.T @ rows)
    side = rest if wide else rows.T @ rest
    solved = basis @ ((basis.T @ side)[:, None] / (size.clip(0)[:, None] + alphas))
    return rows.T @ solved if wide else solved, mean


class RidgeHead(VectorHead):
    """Least squares with an L2 penalty after standardisation.

    The penalty alpha is given, or has the lowest squared error on held-out training patients.
    """

    def fit(self, train: Bags, validation: Bags, seed: int) -> dict[str, float]:
        alpha = self.given_or_chosen("alpha", GRID, self._losses, train, validation, seed, otherwise=1.0)
        self._scaler = Scaler(train)
        self._slopes, self._mean = self._path(self._scaler, train, (alpha,))
        return {"alpha": alpha}

    @staticmethod
    def _path(scaler: Scaler, train: Bags, alphas: tuple[float, ...]) -> tuple[np.ndarray, float]:
        return ridge_path(scaler(train.vectors), train.target, train.weights, np.array(alphas))

    def _losses(self, train: Bags, held: Bags) -> np.ndarray:
        scaler = Scaler(train)
        slopes, mean = self._path(scaler, train, GRID)
        return held.weights @ (held.target[:, None] - mean - scaler(held.vectors) @ slopes) ** 2

    def predict_vectors(self, vectors: np.ndarray) -> np.ndarray:
        return self._mean + (self._scaler(vectors) @ self._slopes)[:, 0]

    def affine(self) -> Affine:
        """The last fit: the one score is the value."""
        return self._scaler.unscaled(self._slopes, np.array([self._mean]))
