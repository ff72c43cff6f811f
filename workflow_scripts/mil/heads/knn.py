"""Nearest neighbours on the slide vector."""

import numpy as np
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from workflow_scripts.mil.bags import Bags
from workflow_scripts.mil.head import spread

NEIGHBOURS = 5


class KnnHead:
    """Five nearest training slides, Euclidean after standardisation, each with the same vote."""

    def __init__(self, seed: int) -> None:
        pass  # nothing is drawn

    def fit(self, train: Bags, validation: Bags | None = None) -> None:
        model = KNeighborsClassifier(min(NEIGHBOURS, len(train)))
        self._model = make_pipeline(StandardScaler(), model).fit(train.vectors.astype(np.float64), train.target)

    def predict(self, bags: Bags) -> np.ndarray:
        probabilities = self._model.predict_proba(bags.vectors.astype(np.float64))
        return spread(probabilities, self._model.classes_, bags.n_classes)
