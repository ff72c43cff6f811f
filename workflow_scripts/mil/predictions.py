"""Predictions of test slides: their table, and what was true and predicted of each patient."""

from typing import Any

import numpy as np
import pyarrow as pa

from workflow_scripts.core.labels import Labels
from workflow_scripts.core.tasks import KINDS, Column, Kind
from workflow_scripts.mil.bags import target_array
from workflow_scripts.mil.metrics import Outcomes


def _field(column: Column) -> pa.Field:
    inner = column.type.removeprefix("list<").removesuffix(">")
    scalar = pa.type_for_alias(inner)
    return pa.field(column.name, scalar if inner == column.type else pa.list_(scalar))


def _columns() -> list[Column]:
    """Columns of all kinds, the truth before the predictions; those of other kinds than a task's own are null."""
    truth = [column for kind in KINDS.values() for column in kind.truth]
    return list(dict.fromkeys([*truth, *(kind.prediction for kind in KINDS.values())]))


# One row a test slide and fold.
PREDICTIONS = pa.schema(
    [
        pa.field("slide_id", pa.string()),
        pa.field("patient_id", pa.string()),
        pa.field("fold", pa.int32()),
        *map(_field, _columns()),
    ]
)


def prediction_rows(labels: Labels, predictions: list[tuple[np.ndarray, np.ndarray]]) -> list[dict[str, Any]]:
    """Rows of `PREDICTIONS`, one a test slide and fold.

    Args:
        labels: of the S slides.
        predictions: of each fold, indices of its test slides int64 `[n]` and their predictions `[n, C]` or `[n]`.
    """
    kind, rows = labels.kind, []
    for fold, (test, values) in enumerate(predictions):
        for index, value in zip(test.tolist(), values, strict=True):
            label = labels.values[index]
            truth = label if isinstance(label, tuple) else (label,)
            row = {"slide_id": labels.slide_ids[index], "patient_id": labels.patient_ids[index], "fold": fold}
            row |= dict(zip((column.name for column in kind.truth), truth, strict=True))
            rows.append(row | {kind.prediction.name: value.tolist()})
    return rows


def patient_outcomes(
    rows: list[dict[str, Any]], kind: Kind, classes: list[str]
) -> tuple[list[str], np.ndarray, Outcomes]:
    """Average the predictions of a patient's slides.

    Args:
        rows: rows of `PREDICTIONS`.
        kind: kind of the task.
        classes: class names in the order of the predictions; empty for kinds without classes.

    Returns:
        P patient ids in sorted order, int64 `[P]` the fold that tested each, and the outcomes.
    """
    of_patient: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        of_patient.setdefault(row["patient_id"], []).append(row)
    patients = sorted(of_patient)
    groups = [of_patient[name] for name in patients]
    folds = np.array([group[0]["fold"] for group in groups], dtype=np.int64)
    names = [column.name for column in kind.truth]
    labels = [group[0][names[0]] if len(names) == 1 else tuple(group[0][name] for name in names) for group in groups]
    means = [np.mean([row[kind.prediction.name] for row in group], axis=0) for group in groups]
    return patients, folds, Outcomes(target_array(kind, labels, classes), np.array(means))
