"""What every head can do."""

from typing import Protocol

import numpy as np

from workflow_scripts.mil.bags import Bags


class Head(Protocol):
    """A model on frozen embeddings. Everything it learns, scaling included, comes from the training bags."""

    def __init__(self, seed: int) -> None: ...

    def fit(self, train: Bags, validation: Bags | None = None) -> None:
        """Learn from the training slides; `validation` may only choose among what was learnt."""

    def predict(self, bags: Bags) -> np.ndarray:
        """What the kind's `prediction` holds: probabilities float64 `[n, C]`, or one value a slide float64 `[n]`.

        For survival the value is the risk: higher means an earlier event.
        """


def spread(probabilities: np.ndarray, seen: np.ndarray, n_classes: int) -> np.ndarray:
    """Probabilities of the classes `seen` in training as columns of all classes, float64 `[n, C]`."""
    full = np.zeros((len(probabilities), n_classes))
    full[:, seen] = probabilities
    return full
