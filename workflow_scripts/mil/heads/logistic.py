"""Linear probe: logistic regression on the slide vector."""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from workflow_scripts.mil.bags import Bags
from workflow_scripts.mil.head import spread


class LogisticHead:
    """L2-penalised (C = 1) multinomial logistic regression after standardisation, classes balanced."""

    def __init__(self, seed: int) -> None:
        pass  # the objective is convex, nothing is drawn

    def fit(self, train: Bags, validation: Bags | None = None) -> None:
        model = LogisticRegression(C=1.0, class_weight="balanced", max_iter=10_000)
        self._model = make_pipeline(StandardScaler(), model).fit(train.vectors.astype(np.float64), train.target)

    def predict(self, bags: Bags) -> np.ndarray:
        probabilities = self._model.predict_proba(bags.vectors.astype(np.float64))
        return spread(probabilities, self._model.classes_, bags.n_classes)
