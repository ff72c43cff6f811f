"""Nearest neighbours on the slide vector."""

import numpy as np
from scipy.spatial.distance import cdist

from workflow_scripts.mil.bags import Bags
from workflow_scripts.mil.head import Scaler, VectorHead


class Voters:
    """The training patients, each with its slides."""

    def __init__(self, train: Bags) -> None:
        patients = np.asarray(train.patients)
        # a patient's slides side by side; their place in the training part decides between equally near patients
        self._order = np.argsort(patients, kind="stable")
        self._starts = np.unique(patients[self._order], return_index=True)[1]
        self._target, self._n_classes = train.target[self._order], train.n_classes

    def voting(self, count: int) -> int:
        """How many of `count` nearest patients vote: at most half of all, for if all did every slide had the same."""
        return min(count, max(1, len(self._starts) // 2))

    def chosen(self, count: int) -> dict[str, float]:
        """What is told of a fit: how many vote, where it is not as many as were asked for."""
        return {} if self.voting(count) == count else {"neighbours": self.voting(count)}

    def shares(self, distance: np.ndarray, count: int) -> np.ndarray:
        """Shares of the votes of the `count` nearest patients by class, float64 `[n, C]`.

        Args:
            distance: from n slides to the T training slides, `[n, T]`.
            count: patients that vote; half of them where there are fewer than twice as many.
        """
        near = distance[:, self._order]
        slides = np.split(np.arange(len(self._order)), self._starts[1:])
        first = np.stack([rows[near[:, rows].argmin(axis=1)] for rows in slides], axis=1)  # [n, patients]
        nearest = np.take_along_axis(near, first, axis=1)
        count = self.voting(count)
        votes = np.zeros((len(near), self._n_classes))
        for row, (slide, far) in enumerate(zip(first, nearest, strict=True)):
            voters = slide[np.lexsort((self._order[slide], far))[:count]]
            votes[row] = np.bincount(self._target[voters], minlength=self._n_classes)
        return votes / count


class KnnHead(VectorHead):
    """The nearest training patients vote, at most half of them, each by its nearest slide and with the same vote.

    Distances are Euclidean or cosine, after standardisation. Among equally near patients the first of the training
    part votes.
    """

    def fit(self, train: Bags, validation: Bags, seed: int) -> dict[str, float]:
        self._scaler, self._voters = Scaler(train), Voters(train)
        self._vectors = self._scaler(train.vectors)
        return self._voters.chosen(self.settings["neighbours"])

    def predict_vectors(self, vectors: np.ndarray) -> np.ndarray:
        far = cdist(self._scaler(vectors), self._vectors, self.settings["metric"])
        return self._voters.shares(np.nan_to_num(far, nan=1.0), self.settings["neighbours"])  # cosine of a zero vector
