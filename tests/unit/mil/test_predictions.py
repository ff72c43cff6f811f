"""Predictions as a table and back as cases, against pandas."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tests.unit.mil.planted import CLASSES, predictions
from workflow_scripts.core.tasks import KINDS
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
    with pytest.raises(ValueError):
        read_tested(broken, KIND, CLASSES, by_slide=False)
