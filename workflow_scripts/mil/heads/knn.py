"""Nearest neighbours on the slide vector."""

import numpy as np
from scipy.spatial.distance import cdist

from workflow_scripts.mil.bags import Bags
from workflow_scripts.mil.head import Scaler, VectorHead


class KnnHead(VectorHead):
    """The nearest training patients vote, each by its nearest slide and with the same vote.

    Distances are Euclidean or cosine, after standardisation. Among equally near patients the first of the training
    part votes.
    """

    def fit(self, train: Bags, validation: Bags, seed: int) -> dict[str, float]:
        self._scaler, self._n_classes = Scaler(train), train.n_classes
        order = np.argsort(np.asarray(train.patients), kind="stable")  # a patient's slides side by side
        self._vectors, self._target = self._scaler(train.vectors)[order], train.target[order]
        _, self._starts = np.unique(np.asarray(train.patients)[order], return_index=True)
        self._rank = order  # place in the training part, which decides between equally near ones
        return {}

    def predict_vectors(self, vectors: np.ndarray) -> np.ndarray:
        metric = self.settings["metric"]
        near = np.nan_to_num(cdist(self._scaler(vectors), self._vectors, metric), nan=1.0)  # cosine of a zero vector
        slides = np.split(np.arange(len(self._vectors)), self._starts[1:])
        first = np.stack([rows[near[:, rows].argmin(axis=1)] for rows in slides], axis=1)  # [n, patients]
        distance = np.take_along_axis(near, first, axis=1)
        count = min(self.settings["neighbours"], len(slides))
        votes = np.zeros((len(vectors), self._n_classes))
        for row, (slide, far) in enumerate(zip(first, distance, strict=True)):
            voters = slide[np.lexsort((self._rank[slide], far))[:count]]
            votes[row] = np.bincount(self._target[voters], minlength=self._n_classes)
        return votes / count
