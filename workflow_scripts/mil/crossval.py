"""A head over all folds, and its predictions as rows and per patient."""

import math
from typing import Any

import numpy as np

from workflow_scripts.core.entry import log
from workflow_scripts.core.seeds import derive_seed
from workflow_scripts.mil.bags import Bags
from workflow_scripts.mil.heads import make_head
from workflow_scripts.mil.metrics import Outcomes


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


def prediction_rows(
    slide_ids: list[str],
    patient_ids: list[str],
    classes: list[str],
    bags: Bags,
    predictions: list[tuple[np.ndarray, np.ndarray]],
) -> list[dict[str, Any]]:
    """Rows of `schemas.PREDICTIONS`, one a test slide and fold."""
    rows = []
    for fold, (test, values) in enumerate(predictions):
        for index, value in zip(test.tolist(), values, strict=True):
            row = {"slide_id": slide_ids[index], "patient_id": patient_ids[index], "fold": fold}
            if classes:
                row |= {"label": classes[bags.label[index]], "probabilities": value.tolist()}
            else:
                row |= {"time": float(bags.time[index]), "event": bool(bags.event[index]), "risk": float(value)}
            rows.append(row)
    return rows


def patient_outcomes(rows: list[dict[str, Any]], classes: list[str]) -> tuple[list[str], np.ndarray, Outcomes]:
    """Average the predictions of a patient's slides.

    Args:
        rows: rows of `schemas.PREDICTIONS`.
        classes: class names in the order of `probabilities`; empty for survival.

    Returns:
        P patient ids in sorted order, int64 `[P]` the fold that tested each, and the outcomes.
    """
    of_patient: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        of_patient.setdefault(row["patient_id"], []).append(row)
    patients = sorted(of_patient)
    first = [of_patient[name][0] for name in patients]
    groups = [of_patient[name] for name in patients]
    nothing = np.full(len(patients), math.nan)
    folds = np.array([row["fold"] for row in first], dtype=np.int64)
    if classes:
        label = np.array([classes.index(row["label"]) for row in first], dtype=np.int64)
        mean = np.array([np.mean([row["probabilities"] for row in group], axis=0) for group in groups])
        return patients, folds, Outcomes(label, mean, nothing, np.zeros(len(patients), dtype=bool), nothing)
    return (
        patients,
        folds,
        Outcomes(
            label=np.full(len(patients), -1),
            probabilities=np.empty((len(patients), 0)),
            time=np.array([row["time"] for row in first]),
            event=np.array([row["event"] for row in first], dtype=bool),
            risk=np.array([np.mean([row["risk"] for row in group]) for group in groups]),
        ),
    )
