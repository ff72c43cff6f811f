"""What every head can do, and what heads on slide vectors have in common."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from sklearn.preprocessing import StandardScaler

from workflow_scripts.mil.attention import Watched
from workflow_scripts.mil.bags import Bags
from workflow_scripts.mil.inner import Losses, choose

Settings = Mapping[str, Any]


class Job(NamedTuple):
    """One fit: int64 indices of bags to learn from, to choose by (may be empty) and to predict, and a seed.

    `attention` is where a head that has some adds it, of which bags; None where it is not wanted.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    seed: int
    attention: Watched | None = None


class Head(Protocol):
    """A model on frozen embeddings. Everything a job learns, scaling included, comes from its training bags.

    Attributes:
        chosen: after `predict`, what each job has chosen by its inner split, by name; may be empty.
    """

    chosen: list[dict[str, float]]

    def __init__(self, kind: str, settings: Settings) -> None: ...

    def predict(self, bags: Bags, jobs: Sequence[Job]) -> list[np.ndarray]:
        """What the kind's `prediction` holds, for the test bags of each job in their order.

        Returns:
            For each job probabilities float64 `[n_test, C]`, or one value a bag float64 `[n_test]`. For survival the
            value is the risk: higher means an earlier event; a head that knows survival probabilities adds those at
            `bags.times`, float64 `[n_test, 1 + T]`.
        """


class Scaler:
    """Standardisation of slide vectors by mean and deviation over the training patients."""

    def __init__(self, train: Bags) -> None:
        self._scaler = StandardScaler().fit(train.vectors.astype(np.float64), sample_weight=train.weights)

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        """Vectors `[n, D]` standardised, float64."""
        return np.asarray(self._scaler.transform(vectors.astype(np.float64)))

    def unscaled(self, slopes: np.ndarray, intercept: np.ndarray) -> "Affine":
        """What `x @ slopes + intercept` of standardised x is of the vectors themselves.

        Args:
            slopes: float64 `[D, K]`.
            intercept: float64 `[K]`.
        """
        weights = (slopes / self._scaler.scale_[:, None]).T
        return Affine(np.ascontiguousarray(weights), intercept - weights @ self._scaler.mean_)


class Affine(NamedTuple):
    """K scores of a vector: `weights @ vector + bias`, float64 `[K, D]` and `[K]`."""

    weights: np.ndarray
    bias: np.ndarray


class VectorHead(ABC):
    """A head on slide vectors: each job is fitted on its own.

    Attributes:
        kind: kind of the task.
        settings: all keys of its section of `benchmark.head_settings`.
    """

    def __init__(self, kind: str, settings: Settings) -> None:
        self.kind = kind
        self.settings = settings
        self.chosen: list[dict[str, float]] = []

    @abstractmethod
    def fit(self, train: Bags, validation: Bags, seed: int) -> dict[str, float]:
        """Learn from the training bags, choose by `validation` where it has bags, and return what was chosen."""

    def given_or_chosen(
        self,
        key: str,
        grid: Sequence[float],
        losses: Losses,
        train: Bags,
        validation: Bags,
        seed: int,
        otherwise: float,
    ) -> float:
        """A setting as it is given, or where that is `auto`, what `choose` takes of the grid."""
        if self.settings[key] != "auto":
            return float(self.settings[key])
        return choose(grid, losses, train, validation, self.settings["inner_folds"], seed, otherwise)

    @abstractmethod
    def predict_vectors(self, vectors: np.ndarray) -> np.ndarray:
        """Predictions of vectors float64 `[n, D]` by the last fit, float64 `[n, C]` or `[n]`."""

    def predict(self, bags: Bags, jobs: Sequence[Job]) -> list[np.ndarray]:
        self.chosen, predictions = [], []
        for job in jobs:
            self.chosen.append(self.fit(bags.take(job.train), bags.take(job.validation), job.seed))
            predictions.append(self.predict_vectors(bags.vectors[job.test].astype(np.float64)))
        return predictions


def spread(probabilities: np.ndarray, seen: np.ndarray, n_classes: int) -> np.ndarray:
    """Probabilities of the classes `seen` in training as columns of all classes, float64 `[n, C]`."""
    full = np.zeros((len(probabilities), n_classes))
    full[:, seen] = probabilities
    return full


def balanced(target: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weights of bags that give every class the same sum, and have the sum that they had, float64 `[n]`.

    Args:
        target: class indices `[n]`.
        weights: what each bag counts within its class, float64 `[n]`.
    """
    _, place = np.unique(target, return_inverse=True)
    total = np.bincount(place, weights)
    return weights * total.sum() / (len(total) * total[place])
