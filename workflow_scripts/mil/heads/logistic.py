"""Linear probe: logistic regression on the slide vector."""

import numpy as np
from sklearn.linear_model import LogisticRegression

from workflow_scripts.mil.bags import Bags
from workflow_scripts.mil.head import Affine, Scaler, VectorHead, balanced, spread

GRID = (1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0)
TINY = 1e-12  # a probability that costs no more than this one


class LogisticHead(VectorHead):
    """L2-penalised multinomial logistic regression after standardisation, classes balanced, solved to its optimum.

    The penalty's inverse strength C is given, or has the lowest cross-entropy on held-out training patients.
    """

    def fit(self, train: Bags, validation: Bags, seed: int) -> dict[str, float]:
        c = self.given_or_chosen("c", GRID, self._losses, train, validation, seed, otherwise=1.0)
        self._n_classes = train.n_classes
        self._scaler, self._basis, scores, weights = self._rotated(train)
        self._model = LogisticRegression(C=c, tol=1e-9, max_iter=100_000).fit(scores, train.target, weights)
        return {"c": c}

    @staticmethod
    def _rotated(train: Bags) -> tuple[Scaler, np.ndarray, np.ndarray, np.ndarray]:
        """Scaler, basis `[D, r]` of the standardised vectors, their coordinates `[n, r]`, weights `[n]`.

        The optimum lies in the span of the training vectors, so r coordinates say the same as D, and no more are
        solved for; the penalty is the same in any orthonormal basis.
        """
        scaler = Scaler(train)
        scaled = scaler(train.vectors)
        wide = len(scaled) < scaled.shape[1]
        basis = np.linalg.qr(scaled.T)[0] if wide else np.eye(scaled.shape[1])
        return scaler, basis, scaled @ basis, balanced(train.target, train.weights)

    def _losses(self, train: Bags, held: Bags) -> np.ndarray:
        scaler, basis, scores, weights = self._rotated(train)
        model = LogisticRegression(warm_start=True, max_iter=10_000)
        losses, of_held = [], balanced(held.target, held.weights)
        for c in GRID:
            model.set_params(C=c).fit(scores, train.target, weights)
            probabilities = spread(model.predict_proba(scaler(held.vectors) @ basis), model.classes_, train.n_classes)
            losses.append(-of_held @ np.log(probabilities[np.arange(len(held)), held.target].clip(TINY)))
        return np.array(losses)

    def predict_vectors(self, vectors: np.ndarray) -> np.ndarray:
        probabilities = self._model.predict_proba(self._scaler(vectors) @ self._basis)
        return spread(probabilities, self._model.classes_, self._n_classes)

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
