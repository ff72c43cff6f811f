"""A head over jobs: what it learns from, and what it predicts."""

import numpy as np
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.unit.mil.cohorts import fold_jobs
from workflow_scripts.core.heads import HEADS, heads_for
from workflow_scripts.mil.bags import Bags
from workflow_scripts.mil.crossval import fits_in_words, predict_jobs


def _bags(n=12):
    random = np.random.default_rng(0)
    label = np.arange(n) % 2
    vectors = (random.normal(size=(n, 3)) + 3 * label[:, None]).astype(np.float32)
    return Bags(vectors, [v[None] for v in vectors], label, 2)


def _predict(name, bags, parts, **settings):
    jobs = fold_jobs(parts, 0)
    return [job.test for job in jobs], predict_jobs(name, "classification", bags, jobs, settings)[0]


def test_each_fold_predicts_its_test_slides_from_its_training_slides():
    parts = np.full((3, 12), "train", dtype=object)
    for fold in range(3):
        parts[fold, fold * 4 : fold * 4 + 4] = "test"
    tested, predictions = _predict("knn", _bags(), parts)
    assert [test.tolist() for test in tested] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    assert [values.shape for values in predictions] == [(4, 2)] * 3


@pytest.mark.parametrize("name", [name for name in heads_for("classification") if not HEADS[name].prototypes])
def test_nothing_of_a_test_slide_reaches_its_own_model(name):
    """Turned labels and other vectors of a fold's test slides change no prediction of its one untouched slide."""
    bags = _bags()
    parts = np.array([["test"] * 4 + ["train"] * 8])
    label, vectors = bags.target.copy(), bags.vectors.copy()
    label[:4] = 1 - label[:4]
    vectors[:3] = vectors[2::-1] * 7 - 3
    changed = Bags(vectors, [vector[None] for vector in vectors], label, 2)
    few = {} if HEADS[name].light else {"epochs": 4}
    values = [_predict(name, cohort, parts, **few)[1][0] for cohort in (bags, changed)]
    np.testing.assert_array_equal(values[0][3], values[1][3])
    assert (values[0][:3] != values[1][:3]).any() or name == "knn"  # the vectors do matter to their own prediction


def test_folds_are_fits_of_the_training_slides():
    bags = _bags()
    parts = np.array([["test"] * 3 + ["train"] * 9, ["train"] * 9 + ["test"] * 3])
    for test, values, part in zip(*_predict("logistic", bags, parts, c=1.0), parts, strict=True):
        train = part == "train"
        model = LogisticRegression(class_weight="balanced", solver="newton-cholesky", tol=1e-12)
        model = make_pipeline(StandardScaler(), model).fit(bags.vectors[train].astype(float), bags.target[train])
        np.testing.assert_allclose(values, model.predict_proba(bags.vectors[test].astype(float)), atol=1e-6)


def test_validation_slides_are_not_trained_on_by_knn():
    bags = _bags()
    parts = np.array([["test"] * 2 + ["val"] * 4 + ["train"] * 6])
    short = np.array([["test"] * 2 + ["unused"] * 4 + ["train"] * 6])
    np.testing.assert_array_equal(_predict("knn", bags, parts)[1][0], _predict("knn", bags, short)[1][0])


def test_the_number_of_fits_is_told_before_they_are_made():
    rows = [(budget, repeat, fold) for budget in ("all", "2/class") for repeat in range(3) for fold in range(5)] * 4
    splits = pa.table(dict(zip(("budget", "repeat", "fold"), map(list, zip(*rows, strict=True)), strict=True)))
    assert fits_in_words(["knn", "abmil"], splits, 2) == "30 splits, so 30 fits of knn, 60 fits of abmil"


def test_what_a_job_has_chosen_is_told():
    bags = _bags(40)
    parts = np.array([["test"] * 4 + ["train"] * 36, ["train"] * 36 + ["test"] * 4])
    _, chosen = predict_jobs("logistic", "classification", bags, fold_jobs(parts, 0), {})
    assert len(chosen) == 2 and all(one["c"] in (1e-4, 1e-3, 1e-2, 0.1, 1, 10, 100) for one in chosen)
    _, chosen = predict_jobs("logistic", "classification", bags, fold_jobs(parts, 0), {"c": 0.5})
    assert chosen == [{"c": 0.5}] * 2
