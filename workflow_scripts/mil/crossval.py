"""A head over all folds."""

import numpy as np

from workflow_scripts.core.entry import log
from workflow_scripts.core.seeds import derive_seed
from workflow_scripts.mil.bags import Bags
from workflow_scripts.mil.heads import make_head


def predict_folds(
    head: str, kind: str, bags: Bags, parts: np.ndarray, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Fit a fresh head on every fold's training slides and predict its test slides.

    Args:
        head: name of the registry.
        kind: kind of the task.
        bags: S slides.
        parts: str `[K, S]`, part of each slide in each fold.
        seed: the seed of a fold's head depends on the fold, not on the representation.

    Returns:
        For each fold, the test slides' indices int64 `[n]` and their predictions `[n, C]` or `[n]`.
    """
    predictions = []
    for fold, part in enumerate(parts):
        model = make_head(head, kind, derive_seed(seed, "head", head, fold))
        train, val, test = (np.flatnonzero(part == name) for name in ("train", "val", "test"))
        model.fit(bags.take(train), bags.take(val) if len(val) else None)
        predictions.append((test, model.predict(bags.take(test))))
        log.info("fold %d of %d: %d slides to learn from, %d to test", fold + 1, len(parts), len(train), len(test))
    return predictions
