"""Predictions as a table and back as cases, against pandas."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tests.unit.mil.planted import CLASSES, predictions
from workflow_scripts.core.tasks import KINDS
from workflow_scripts.mil.metrics import METRICS
from workflow_scripts.mil.predictions import PREDICTIONS, Predicted, prediction_table, read_tested

KIND = KINDS["classification"]


def test_rows_say_where_each_prediction_stands():
    truth = pa.table({"slide_id": ["s0", "s1", "s2"], "patient_id": ["p0", "p0", "p1"], "time": [1.0, 2.0, 3.0]})
    truth = truth.append_column("event", pa.array([True, False, True]))
    tests = [Predicted("25%", 1, 2, 3, np.array([2, 0]), np.array([0.5, -0.5]))]
    table = prediction_table("cox", KINDS["survival"], truth, tests)
    assert table.schema.equals(PREDICTIONS)
    row = {key: value for key, value in table.to_pylist()[1].items() if value is not None}
    assert row == {
        **{"head": "cox", "budget": "25%", "repeat": 1, "fold": 2, "seed": 3},
        **{"slide_id": "s0", "patient_id": "p0", "time": 1.0, "event": True, "risk": -0.5},
    }
    assert len(prediction_table("cox", KINDS["survival"], truth, [])) == 0


def _of_survival(values):
    """Predictions of a patient with two slides and one with one, by one fit."""
    truth = pa.table({"slide_id": ["s0", "s1", "s2"], "patient_id": ["p0", "p0", "p1"], "time": [2.0, 2.0, 3.0]})
    truth = truth.append_column("event", pa.array([True, True, False]))
    return prediction_table("cox", KINDS["survival"], truth, [Predicted("all", 0, 0, 0, np.arange(3), values)])


def test_survival_probabilities_stand_beside_the_risk_and_are_averaged_over_slides():
    values = np.array([[0.5, 0.9, 0.4], [1.5, 0.7, 0.2], [-1.0, 1.0, 0.8]])
    table = _of_survival(values)
    assert table["survival"].to_pylist() == values[:, 1:].tolist() and table["risk"].to_pylist() == [0.5, 1.5, -1.0]
    (one,) = read_tested(table, KINDS["survival"], [], by_slide=False, times=[1.0, 2.5]).rounds
    assert one.outcomes.times.tolist() == [1.0, 2.5] and one.outcomes.prediction.tolist() == [1.0, -1.0]
    np.testing.assert_allclose(one.outcomes.survival, [[0.8, 0.3], [1.0, 0.8]])
    with pytest.raises(ValueError, match="predictions for 2 times, and 3 times"):
        read_tested(table, KINDS["survival"], [], by_slide=False, times=[1.0, 2.5, 3.0])


def test_survival_probabilities_that_are_no_numbers_are_never_scored():
    table = _of_survival(np.array([[0.5, 0.9], [1.5, np.nan], [-1.0, 1.0]]))
    with pytest.raises(ValueError, match="1 of 2 predictions are no finite number"):
        read_tested(table, KINDS["survival"], [], by_slide=False, times=[1.0])


def test_a_head_may_know_the_risk_alone():
    table = _of_survival(np.array([0.5, 1.5, -1.0]))
    assert table["survival"].to_pylist() == [None] * 3
    (one,) = read_tested(table, KINDS["survival"], [], by_slide=False, times=[1.0]).rounds
    assert one.outcomes.survival.shape == (2, 0) and np.isnan(METRICS["integrated_brier"](one.outcomes))


@pytest.mark.parametrize("by_slide", [True, False])
def test_cases_are_averaged_within_a_fit_and_never_over_fits(by_slide):
    table = predictions(1.0, slides=2, seeds=2)
    tested = read_tested(table, KIND, CLASSES, by_slide)
    frame = table.select(["repeat", "fold", "seed", "slide_id", "patient_id"]).to_pandas()
    frame["p"] = [row[1] for row in table["probabilities"].to_pylist()]
    key = "slide_id" if by_slide else "patient_id"
    means = frame.groupby(["repeat", "seed", key, "fold"])["p"].mean()
    assert [(one.repeat, one.seed) for one in tested.rounds] == [(r, s) for r in range(3) for s in range(2)]
    assert tested.cases == sorted(frame[key].unique())
    for one in tested.rounds:
        for case, fold, p in zip(one.case, one.fold, one.outcomes.prediction[:, 1], strict=True):
            assert p == pytest.approx(means[one.repeat, one.seed, tested.cases[case], fold])
    assert sum(len(one.case) for one in tested.rounds) == len(means)


def test_a_patient_tested_in_two_folds_of_a_repeat_is_two_cases_of_two_models():
    truth = pa.table({"slide_id": ["s0", "s1"], "patient_id": ["p0", "p1"], "label": ["a", "b"]})
    both = np.array([[0.9, 0.1], [0.2, 0.8]])
    tests = [
        Predicted("all", 0, 0, 0, np.array([0, 1]), both),
        Predicted("all", 0, 1, 0, np.array([0]), np.array([[0.1, 0.9]])),
    ]
    one = read_tested(prediction_table("knn", KIND, truth, tests), KIND, CLASSES, by_slide=False).rounds[0]
    assert one.case.tolist() == [0, 1, 0] and one.outcomes.prediction[:, 0].tolist() == [0.9, 0.2, 0.1]


def test_a_missing_prediction_is_no_prediction():
    table = predictions(1.0).to_pandas()
    table["probabilities"] = [None if i == 5 else list(p) for i, p in enumerate(table["probabilities"])]
    broken = pa.Table.from_pandas(pd.DataFrame(table), PREDICTIONS, preserve_index=False)
    with pytest.raises(ValueError, match=f"1 of {len(broken)} predictions are missing"):
        read_tested(broken, KIND, CLASSES, by_slide=False)
