"""Predictions over folds become rows, and rows become one outcome a patient."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from workflow_scripts.mil.bags import Bags
from workflow_scripts.mil.crossval import patient_outcomes, predict_folds, prediction_rows

CLASSES = ["a", "b"]


def _bags(n=12):
    random = np.random.default_rng(0)
    label = np.arange(n) % 2
    vectors = (random.normal(size=(n, 3)) + 3 * label[:, None]).astype(np.float32)
    return Bags(vectors, [v[None] for v in vectors], label, np.full(n, np.nan), np.zeros(n, bool), 2)


def test_each_fold_predicts_its_test_slides_from_its_training_slides():
    bags = _bags()
    parts = np.full((3, 12), "train", dtype=object)
    for fold in range(3):
        parts[fold, fold * 4 : fold * 4 + 4] = "test"
    predictions = predict_folds("knn", "classification", bags, parts, 0)
    assert [test.tolist() for test, _ in predictions] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]


@pytest.mark.parametrize("name", ["knn", "logistic", "abmil"])
def test_nothing_of_a_test_slide_reaches_its_own_model(name):
    """Turned labels and other vectors of a fold's test slides change no prediction of its one untouched slide."""
    bags = _bags()
    parts = np.array([["test"] * 4 + ["train"] * 8])
    label, vectors = bags.label.copy(), bags.vectors.copy()
    label[:4] = 1 - label[:4]
    vectors[:3] = vectors[2::-1] * 7 - 3
    changed = Bags(vectors, [vector[None] for vector in vectors], label, bags.time, bags.event, 2)
    values = [predict_folds(name, "classification", cohort, parts, 0)[0][1] for cohort in (bags, changed)]
    np.testing.assert_array_equal(values[0][3], values[1][3])
    assert (values[0][:3] != values[1][:3]).any() or name == "knn"  # the vectors do matter to their own prediction


def test_folds_are_fits_of_the_training_slides():
    bags = _bags()
    parts = np.array([["test"] * 3 + ["train"] * 9, ["train"] * 9 + ["test"] * 3])
    for (test, values), part in zip(predict_folds("logistic", "classification", bags, parts, 0), parts, strict=True):
        train = part == "train"
        model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=10_000))
        model.fit(bags.vectors[train].astype(float), bags.label[train])
        np.testing.assert_allclose(values, model.predict_proba(bags.vectors[test].astype(float)), atol=1e-9)


def test_validation_slides_are_not_trained_on_by_knn():
    bags = _bags()
    parts = np.array([["test"] * 2 + ["val"] * 4 + ["train"] * 6])
    short = np.array([["test"] * 2 + ["unused"] * 4 + ["train"] * 6])
    np.testing.assert_array_equal(
        predict_folds("knn", "classification", bags, parts, 0)[0][1],
        predict_folds("knn", "classification", bags, short, 0)[0][1],
    )


def test_rows_carry_class_names_or_survival():
    bags = _bags(2)
    rows = prediction_rows(["s0", "s1"], ["p0", "p1"], CLASSES, bags, [(np.array([1]), np.array([[0.25, 0.75]]))])
    assert rows == [
        {"slide_id": "s1", "patient_id": "p1", "fold": 0, "label": "b", "probabilities": [0.25, 0.75]},
    ]
    times = Bags(bags.vectors, bags.regions, np.full(2, -1), np.array([3.0, 4.0]), np.array([True, False]), 0)
    rows = prediction_rows(["s0", "s1"], ["p0", "p1"], [], times, [(np.array([0]), np.array([1.5]))])
    assert rows == [{"slide_id": "s0", "patient_id": "p0", "fold": 0, "time": 3.0, "event": True, "risk": 1.5}]


def test_slides_of_a_patient_are_averaged():
    rows = [
        {"slide_id": "s0", "patient_id": "q", "fold": 1, "label": "b", "probabilities": [0.2, 0.8]},
        {"slide_id": "s1", "patient_id": "p", "fold": 0, "label": "a", "probabilities": [0.9, 0.1]},
        {"slide_id": "s2", "patient_id": "q", "fold": 1, "label": "b", "probabilities": [0.6, 0.4]},
    ]
    patients, folds, outcomes = patient_outcomes(rows, CLASSES)
    assert patients == ["p", "q"]
    assert folds.tolist() == [0, 1]
    assert outcomes.label.tolist() == [0, 1]
    np.testing.assert_allclose(outcomes.probabilities, [[0.9, 0.1], [0.4, 0.6]])


def test_risk_of_a_patient_is_averaged():
    row = {"patient_id": "p", "fold": 0, "time": 2.0, "event": True}
    _, _, outcomes = patient_outcomes(
        [{**row, "slide_id": "s0", "risk": 1.0}, {**row, "slide_id": "s1", "risk": 4.0}], []
    )
    assert outcomes.risk.tolist() == [2.5]
    assert outcomes.time.tolist() == [2.0]
    assert outcomes.event.tolist() == [True]
