"""What every head can do."""

from typing import ClassVar, Protocol

import numpy as np

from workflow_scripts.mil.bags import Bags

CLASSES = frozenset({"classification", "ordinal"})
SURVIVAL = frozenset({"survival"})


class Head(Protocol):
    """A model on frozen embeddings. Everything it learns, scaling included, comes from the training bags.

    Attributes:
        kinds: kinds of task that it serves.
    """

    kinds: ClassVar[frozenset[str]]

    def __init__(self, seed: int) -> None: ...

    def fit(self, train: Bags, validation: Bags | None = None) -> None:
        """Learn from the training slides; `validation` may only choose among what was learnt."""

    def predict(self, bags: Bags) -> np.ndarray:
        """Probabilities float64 `[n, C]`, or for survival risk float64 `[n]` (higher: earlier event)."""


def spread(probabilities: np.ndarray, seen: np.ndarray, n_classes: int) -> np.ndarray:
    """Probabilities of the classes `seen` in training as columns of all classes, float64 `[n, C]`."""
    full = np.zeros((len(probabilities), n_classes))
    full[:, seen] = probabilities
    return full
