"""Predictions become rows, and rows one outcome a patient."""

import numpy as np
import pyarrow as pa

from workflow_scripts.core.labels import Labels
from workflow_scripts.core.tasks import KINDS
from workflow_scripts.mil.predictions import PREDICTIONS, patient_outcomes, prediction_rows

CLASSES = ["a", "b"]
SURVIVAL = KINDS["survival"]


def _labels(kind, values, classes):
    return Labels(KINDS[kind], [], ["s0", "s1"], ["p0", "p1"], values, classes, {})


def test_the_table_has_the_columns_of_all_kinds():
    assert PREDICTIONS.equals(
        pa.schema(
            {
                "slide_id": pa.string(),
                "patient_id": pa.string(),
                "fold": pa.int32(),
                "label": pa.string(),
                "time": pa.float64(),
                "event": pa.bool_(),
                "value": pa.float64(),
                "probabilities": pa.list_(pa.float64()),
                "risk": pa.float64(),
                "predicted": pa.float64(),
            }
        )
    )


def test_rows_carry_class_names_or_survival():
    labels = _labels("ordinal", ["a", "b"], CLASSES)
    assert prediction_rows(labels, [(np.array([1]), np.array([[0.25, 0.75]]))]) == [
        {"slide_id": "s1", "patient_id": "p1", "fold": 0, "label": "b", "probabilities": [0.25, 0.75]},
    ]
    labels = _labels("survival", [(3.0, True), (4.0, False)], [])
    nothing = np.array([], dtype=int)
    assert prediction_rows(labels, [(nothing, np.empty(0)), (np.array([0]), np.array([1.5]))]) == [
        {"slide_id": "s0", "patient_id": "p0", "fold": 1, "time": 3.0, "event": True, "risk": 1.5}
    ]


def test_slides_of_a_patient_are_averaged():
    rows = [
        {"slide_id": "s0", "patient_id": "q", "fold": 1, "label": "b", "probabilities": [0.2, 0.8]},
        {"slide_id": "s1", "patient_id": "p", "fold": 0, "label": "a", "probabilities": [0.9, 0.1]},
        {"slide_id": "s2", "patient_id": "q", "fold": 1, "label": "b", "probabilities": [0.6, 0.4]},
    ]
    patients, folds, outcomes = patient_outcomes(rows, KINDS["classification"], CLASSES)
    assert patients == ["p", "q"]
    assert folds.tolist() == [0, 1]
    assert outcomes.target.tolist() == [0, 1]
    np.testing.assert_allclose(outcomes.prediction, [[0.9, 0.1], [0.4, 0.6]])


def test_risk_of_a_patient_is_averaged():
    row = {"patient_id": "p", "fold": 0, "time": 2.0, "event": True}
    rows = [{**row, "slide_id": "s0", "risk": 1.0}, {**row, "slide_id": "s1", "risk": 4.0}]
    _, _, outcomes = patient_outcomes(rows, SURVIVAL, [])
    assert outcomes.prediction.tolist() == [2.5]
    assert outcomes.target.tolist() == [(2.0, True)]
