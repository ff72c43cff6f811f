"""Linear probe: logistic regression on the slide vector."""

from abc import abstractmethod
from collections.abc import Callable

import numpy as np
from sklearn.linear_model import LogisticRegression

from workflow_scripts.mil.bags import Bags
from workflow_scripts.mil.head import Affine, Scaler, VectorHead, balanced, spread

GRID = (1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0)
TINY = 1e-12  # a probability that costs no more than this one


Map = Callable[[np.ndarray], np.ndarray]
"""From vectors of n bags, float64 `[n, D]`, to coordinates `[n, r]`."""


class Logistic(VectorHead):
    """L2-penalised multinomial logistic regression on coordinates, classes balanced, solved to its optimum.

    The penalty's inverse strength C is given, or has the lowest cross-entropy on held-out training patients.
    """

    @abstractmethod
    def map_of(self, train: Bags) -> Map:
        """Coordinates as the training bags have them scaled; whatever is learnt for that is learnt from these alone."""

    def fit(self, train: Bags, validation: Bags, seed: int) -> dict[str, float]:
        c = self.given_or_chosen("c", GRID, self._losses, train, validation, seed, otherwise=1.0)
        self._n_classes, self._map = train.n_classes, self.map_of(train)
        weights = balanced(train.target, train.weights)
        model = LogisticRegression(C=c, tol=1e-9, max_iter=100_000)
        self._model = model.fit(self._map(train.vectors), train.target, weights)
        return {"c": c}

    def _losses(self, train: Bags, held: Bags) -> np.ndarray:
        coordinates = self.map_of(train)
        seen, unseen = coordinates(train.vectors), coordinates(held.vectors)
        model = LogisticRegression(warm_start=True, max_iter=10_000)
        weights, of_held = balanced(train.target, train.weights), balanced(held.target, held.weights)
        losses = []
        for c in GRID:
            model.set_params(C=c).fit(seen, train.target, weights)
            probabilities = spread(model.predict_proba(unseen), model.classes_, train.n_classes)
            losses.append(-of_held @ np.log(probabilities[np.arange(len(held)), held.target].clip(TINY)))
        return np.array(losses)

    def predict_vectors(self, vectors: np.ndarray) -> np.ndarray:
        return spread(self._model.predict_proba(self._map(vectors)), self._model.classes_, self._n_classes)


class LogisticHead(Logistic):
    """Logistic regression after standardisation of the slide vector."""

    def map_of(self, train: Bags) -> Map:
        """Coordinates in the span of the training vectors.

        The optimum lies in it, so r coordinates say the same as D, and no more are solved for; the penalty is the same
        in any orthonormal basis.
        """
        scaler = Scaler(train)
        scaled = scaler(train.vectors)
        wide = len(scaled) < scaled.shape[1]
        basis = np.linalg.qr(scaled.T)[0] if wide else np.eye(scaled.shape[1])
        self._scaler, self._basis = scaler, basis
        return lambda vectors: scaler(vectors) @ basis

    def affine(self) -> Affine:
        """The last fit: a score a class, whose softmax is the probability; of two classes the first scores 0.

        A class that was not among the training bags has the bias -inf.
        """
        slopes, intercept = self._basis @ self._model.coef_.T, self._model.intercept_
        if len(self._model.classes_) == 2:
            slopes, intercept = np.c_[np.zeros(len(slopes)), slopes], np.r_[0.0, intercept]
        seen = self._scaler.unscaled(slopes, intercept)
        weights, bias = np.zeros((self._n_classes, len(slopes))), np.full(self._n_classes, -np.inf)
        weights[self._model.classes_], bias[self._model.classes_] = seen
        return Affine(weights, bias)
