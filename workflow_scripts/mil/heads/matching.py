"""Heads on sets of prototypes: slides are as alike as the best one-to-one matching of their prototypes is good.

The likeness is that by which pretraining chooses a slide's neighbours (`core.matching`): the largest sum of cosines of
matched prototypes, as they are embedded, without standardisation. All sets have the same size M: as in the slide's
vector, a prototype that has no region, and each of a slide that has none, is the mean over the slide's regions
(`representations.prototype_sets`). Of a patient that is one bag, they are the means over its slides.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.matching import set_similarities
from workflow_scripts.core.seeds import derive_seed
from workflow_scripts.mil.bags import Bags
from workflow_scripts.mil.head import Job, Settings
from workflow_scripts.mil.heads.knn import Voters
from workflow_scripts.mil.heads.logistic import Logistic, Map

_AT_ONCE = 1024
_POSITIVE = 1e-8
"""Eigenvalues above this share of the largest are taken for positive: likenesses are rounded to ten decimals."""
_SAME = 1e-9  # largest eigenvalue of slides that differ by no more than that rounding


class MatchingKnnHead:
    """As `KnnHead`, by the likeness of sets.

    Nothing is learnt but who votes, and the likeness of all pairs of slides is computed once for all jobs. Memory for
    n slides is 8 n^2 bytes.

    Raises:
        UserError: from `predict`, where the bags are no sets of prototypes.
    """

    def __init__(self, kind: str, settings: Settings) -> None:
        self.kind, self.settings = kind, settings
        self.chosen: list[dict[str, float]] = []

    def predict(self, bags: Bags, jobs: Sequence[Job]) -> list[np.ndarray]:
        likeness = set_similarities(_sets(bags, "matching_knn"))
        count, voters = self.settings["neighbours"], [Voters(bags.take(job.train)) for job in jobs]
        self.chosen = [one.chosen(count) for one in voters]
        return [
            np.concatenate([one.shares(-likeness[np.ix_(part, job.train)], count) for part in _parts(job.test)])
            for one, job in zip(voters, jobs, strict=True)
        ]


def _parts(slides: np.ndarray) -> list[np.ndarray]:
    """Slides in parts whose votes are counted at once, so that what that takes is little beside all likenesses."""
    return np.array_split(slides, max(1, -(-len(slides) // _AT_ONCE)))


class MatchingLogisticHead(Logistic):
    """Kernel logistic regression, where the kernel is the mean cosine of matched prototypes.

    Such a kernel need not be positive definite. It is taken for one by its positive part: of the kernel among the
    training slides, centred, negative eigenvalues are set to 0, and a new slide is projected onto the eigenvectors of
    the others (spectrum clip; Chen, Garcia, Gupta, Rahimi and Cazzanti 2009, J. Mach. Learn. Res. 10, with the same
    treatment of new slides). Logistic regression on these coordinates is kernel logistic regression. They are scaled so
    that a training slide has on average the squared length of a standardised vector as wide as a prototype, and C means
    what it means to `LogisticHead`.

    Of more training slides than `landmarks`, so many stand for all (Nystroem's method; Williams and Seeger 2001, Adv.
    Neural Inf. Process. Syst. 13): the first in a random order of the cohort that knows nothing of them, so that folds
    share most. Memory is 8 bytes for each pair of one of n slides and one that stands for others in any job.

    Raises:
        UserError: from `predict`, where the bags are no sets of prototypes.
    """

    def predict(self, bags: Bags, jobs: Sequence[Job]) -> list[np.ndarray]:
        sets = _sets(bags, "matching_logistic")
        self._width = sets.shape[2]
        self._rank = np.array([derive_seed("landmark", place) for place in range(len(bags))])
        wanted = np.unique(np.concatenate([self._first(job.train) for job in jobs]))
        self._column = np.full(len(bags), -1)
        self._column[wanted] = np.arange(len(wanted))
        self._kernel = set_similarities(sets, sets[wanted]) / sets.shape[1]
        # a slide is known by its place in the kernel
        return super().predict(replace(bags, vectors=np.arange(len(bags))[:, None]), jobs)

    def _first(self, slides: np.ndarray) -> np.ndarray:
        """Those of the slides that stand for all of them."""
        return slides[np.argsort(self._rank[slides])[: self.settings["landmarks"]]]

    def fit(self, train: Bags, validation: Bags, seed: int) -> dict[str, float]:
        self._standing = self._first(train.vectors[:, 0])  # inner folds have those of them that they learn from
        return super().fit(train, validation, seed)

    def map_of(self, train: Bags) -> Map:
        stands = np.isin(train.vectors[:, 0], self._standing)
        if not stands.any():  # all are held out of an inner fold: it knows no slide from another, as with one of them
            return lambda slides: np.zeros((len(slides), 1))
        landmarks, weights = train.vectors[stands, 0], train.weights[stands]
        columns = self._column[landmarks]
        among = _Centring(self._kernel[np.ix_(landmarks, columns)], weights)
        basis = _positive_part(among(among.kernel), among.shares, self._width)
        return lambda slides: among(self._kernel[np.ix_(slides[:, 0].astype(np.int64), columns)]) @ basis


class _Centring:
    """What centring in the kernel's space takes off, by the mean over L landmarks that is weighted as patients are.

    Args:
        kernel: among the landmarks, float64 `[L, L]`.
        weights: of the landmarks, float64 `[L]`.
    """

    def __init__(self, kernel: np.ndarray, weights: np.ndarray) -> None:
        self.kernel, self.shares = kernel, weights / weights.sum()
        self._means = kernel @ self.shares

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Kernel of n slides with the landmarks, float64 `[n, L]`, between their differences to the mean."""
        return rows - (rows @ self.shares)[:, None] - self._means + self._means @ self.shares


def _positive_part(centred: np.ndarray, shares: np.ndarray, width: int) -> np.ndarray:
    """Weights of a slide's centred kernel row in its coordinates, float64 `[L, r]`.

    Eigenvectors are those of the kernel under the landmarks' shares, so that a slide which stands there three times
    with a third of the weight changes nothing.

    Args:
        centred: kernel among the landmarks, centred, float64 `[L, L]`.
        shares: what each landmark counts, float64 `[L]`, of sum 1.
        width: mean squared length that the landmarks are to have.
    """
    root = np.sqrt(shares)
    values, vectors = np.linalg.eigh(root[:, None] * centred * root)
    kept = values > max(_POSITIVE * values[-1], _SAME)
    if not kept.any():  # all slides are alike, and one coordinate of zeros says so
        return np.zeros((len(values), 1))
    values, vectors = values[kept], vectors[:, kept]
    return root[:, None] * vectors * np.sqrt(width / values.sum() / values)


def _sets(bags: Bags, head: str) -> np.ndarray:
    """Sets of prototypes, float32 `[n, M, d]`, whose concatenations are the bags' vectors.

    Raises:
        UserError: a vector is no concatenation of several vectors as wide as the rows of its bag.
    """
    width, own = bags.vectors.shape[1], bags.regions[0].shape[1]
    if width == own or width % own:
        raise UserError(
            f"{head} compares sets of prototypes, and here a slide's vector of {width} values is none of several "
            f"vectors of {own}; use it on the representations that embed.prototypes adds"
        )
    return bags.vectors.reshape(len(bags), -1, own)
