"""Nearest neighbours on the slide vector, or by the matching of prototypes."""

from collections.abc import Sequence

import numpy as np
from scipy.spatial.distance import cdist

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.matching import set_similarities
from workflow_scripts.mil.bags import Bags
from workflow_scripts.mil.head import Job, Scaler, Settings, VectorHead


class _Voters:
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
        self._scaler, self._voters = Scaler(train), _Voters(train)
        self._vectors = self._scaler(train.vectors)
        return self._voters.chosen(self.settings["neighbours"])

    def predict_vectors(self, vectors: np.ndarray) -> np.ndarray:
        far = cdist(self._scaler(vectors), self._vectors, self.settings["metric"])
        return self._voters.shares(np.nan_to_num(far, nan=1.0), self.settings["neighbours"])  # cosine of a zero vector


class MatchingKnnHead:
    """As `KnnHead`, where slides are as near as the best one-to-one matching of their prototypes is good.

    The likeness is that by which pretraining chooses a slide's neighbours (`core.matching`): the largest sum of
    cosines of matched prototypes, as they are embedded, without standardisation. So nothing is learnt but who votes,
    and the likeness of all pairs of slides is computed once for all jobs. All sets have the same size M: as in the
    slide's vector, a prototype that has no region, and each of a slide that has none, is the mean over the slide's
    regions (`representations.prototype_sets`). Of a patient that is one bag, they are the means over its slides.
    Memory for n slides is 8 n^2 bytes, and as much again within a job.

    Raises:
        UserError: from `predict`, where the bags are no sets of prototypes.
    """

    def __init__(self, kind: str, settings: Settings) -> None:
        self.kind, self.settings = kind, settings
        self.chosen: list[dict[str, float]] = []

    def predict(self, bags: Bags, jobs: Sequence[Job]) -> list[np.ndarray]:
        likeness = set_similarities(_sets(bags))
        count, voters = self.settings["neighbours"], [_Voters(bags.take(job.train)) for job in jobs]
        self.chosen = [one.chosen(count) for one in voters]
        return [
            one.shares(-likeness[np.ix_(job.test, job.train)], count) for one, job in zip(voters, jobs, strict=True)
        ]


def _sets(bags: Bags) -> np.ndarray:
    """Sets of prototypes, float32 `[n, M, d]`, whose concatenations are the bags' vectors.

    Raises:
        UserError: a vector is no concatenation of several vectors as wide as the rows of its bag.
    """
    width, own = bags.vectors.shape[1], bags.regions[0].shape[1]
    if width == own or width % own:
        raise UserError(
            f"matching_knn compares sets of prototypes, and here a slide's vector of {width} values is none of several "
            f"vectors of {own}; use it on <run>-prototypes, which embed.prototypes adds"
        )
    return bags.vectors.reshape(len(bags), -1, own)
