"""Heads that are stored with a model predict what they predict in the benchmark."""

import json

import numpy as np
import pytest
from scipy.special import softmax

from tests.unit.mil.cohorts import NONE, bags_of
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.heads import HEADS
from workflow_scripts.core.patients import hide_patients
from workflow_scripts.mil.bags import Bags
from workflow_scripts.mil.fitted import FOLDER, class_shares, fit_on_all, load_fitted, predictions, save_fitted
from workflow_scripts.mil.head import Affine, Job
from workflow_scripts.mil.heads import make_head

AFFINE = [(name, kind) for name, head in HEADS.items() if head.affine for kind in head.kinds]
DIGEST = "ab" * 32
FACTS = {"task": "grade", "kind": "classification", "head": "logistic", "classes": ["high", "low"], "results": []}
FACTS |= {"n_patients": 3, "class_shares": [0.5, 0.5], "model_sha256": DIGEST}


@pytest.fixture
def model(tmp_path):
    """Folder of a model, as far as heads are concerned."""
    (tmp_path / "config.json").write_text(json.dumps({"architecture": {}, "model_sha256": DIGEST}))
    return tmp_path


@pytest.mark.parametrize(("name", "kind"), AFFINE)
def test_scores_are_those_that_the_head_predicts(name, kind):
    bags = bags_of(kind, 30)
    job = Job(np.arange(30), NONE, np.arange(30), 5)
    whole = make_head(name, kind, {}).predict(bags, [job])[0]
    (weights, bias), chosen = fit_on_all(name, kind, {}, bags, 5)
    assert weights.dtype == bias.dtype == np.float64 and chosen
    scores = bags.vectors.astype(np.float64) @ weights.T + bias
    expected = softmax(scores, axis=1) if bags.n_classes else scores[:, 0]
    np.testing.assert_allclose(expected, whole if bags.n_classes or whole.ndim == 1 else whole[:, 0], atol=1e-9)


def test_a_class_that_no_slide_has_gets_no_probability():
    bags = bags_of("classification", 30)
    object.__setattr__(bags, "n_classes", 3)
    (weights, bias), _ = fit_on_all("logistic", "classification", {}, bags, 5)
    facts = FACTS | {"classes": ["a", "b", "c"], "trained_on": []}
    rows = predictions("new", bags.vectors[0], [(Affine(weights, bias), facts)])
    assert rows[2]["value"] == 0 and sum(row["value"] for row in rows) == pytest.approx(1)


def test_what_is_saved_is_loaded_and_says_where_it_was_trained(model):
    fitted = Affine(np.array([[0.0, 0.0], [1.0, -2.0]]), np.array([0.0, 0.5]))
    save_fitted(model / FOLDER / "grade.safetensors", fitted, FACTS | {"trained_on": ["s1"]})
    ((loaded, facts),) = load_fitted(model, 2)
    assert np.array_equal(loaded.weights, fitted.weights) and np.array_equal(loaded.bias, fitted.bias)
    rows = predictions("s1", np.float32([2, 1]), [(loaded, facts)])
    assert [row["outcome"] for row in rows] == ["high", "low"] and all(row["trained_on_it"] for row in rows)
    assert rows[1]["value"] == pytest.approx(1 / (1 + np.exp(-0.5)))
    assert not predictions("s2", np.float32([2, 1]), [(loaded, facts)])[0]["trained_on_it"]
    risk = FACTS | {"kind": "survival", "head": "cox", "classes": [], "trained_on": []}
    (row,) = predictions("s2", np.float32([2, 1]), [(Affine(np.ones((1, 2)), np.zeros(1)), risk)])
    assert (row["outcome"], row["value"]) == ("risk", 3.0)
    assert load_fitted(model / "nothing", 2) == []


def test_a_head_that_is_damaged_or_of_another_model_is_told_in_a_sentence(model):
    path = model / FOLDER / "grade.safetensors"
    save_fitted(path, Affine(np.zeros((2, 3)), np.zeros(2)), FACTS | {"trained_on": []})
    with pytest.raises(UserError, match=r"grade.safetensors is of \[2, 3\] values, the model's vectors of 2"):
        load_fitted(model, 2)
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(UserError, match=r"grade\.safetensors cannot be read"):
        load_fitted(model, 3)
    path.with_suffix(".json").write_text(json.dumps(FACTS)[:-3])
    with pytest.raises(UserError, match=r"grade\.safetensors cannot be read"):
        load_fitted(model, 3)
    save_fitted(path, Affine(np.zeros((2, 3)), np.zeros(2)), FACTS | {"trained_on": [], "model_sha256": "0" * 64})
    with pytest.raises(UserError, match=r"grade\.json belongs to another training than the model beside it"):
        load_fitted(model, 3)


def test_classes_are_weighted_alike_and_their_shares_are_told():
    random = np.random.default_rng(0)
    vectors = random.normal(size=(400, 8)).astype(np.float32)
    rare = (np.arange(400) < 20).astype(np.int64)
    weights = np.where(np.arange(400) < 2, 0.5, 1.0)  # the first two slides are of one patient
    bags = Bags(vectors, list(vectors[:, None]), rare, 2, weights, [f"p{max(1, i)}" for i in range(400)])
    fitted, _ = fit_on_all("logistic", "classification", {}, bags, 0)
    rows = [predictions("x", new, [(fitted, FACTS | {"trained_on": []})]) for new in random.normal(size=(500, 8))]
    assert np.mean([row[1]["value"] for row in rows]) == pytest.approx(0.5, abs=0.02)  # vectors tell nothing
    assert class_shares(bags) == pytest.approx([380 / 399, 19 / 399])
    assert class_shares(bags_of("survival", 30)) == []


def test_a_head_knows_a_patient_of_its_training_by_any_slide():
    hidden = hide_patients({"s1": "p1", "s2": "p2"}, "m")
    heads = [(Affine(np.zeros((2, 2)), np.zeros(2)), FACTS | {"trained_on": ["s1", "s2"], "patients": hidden})]

    def seen(slide, patient, heads=heads):
        return {row["trained_on_it"] for row in predictions(slide, np.float32([1, 2]), heads, patient)}

    assert seen("new", "p2") == {True} and seen("new", "p3") == {False} and seen("new", None) == {None}
    assert seen("s1", None) == seen("s1", "p3") == {True}
    unknown = [(heads[0][0], FACTS | {"trained_on": ["s1"], "patients": None})]
    assert seen("new", "p1", unknown) == {None}


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        (FACTS | {"trained_on": [], "class_shares": [1.0]}, "not one of class_shares for each"),
        ([], "holds no facts of a head"),
        ({}, "has no usable task"),
        (FACTS | {"trained_on": [], "classes": None}, "has no usable classes"),
        (FACTS | {"trained_on": [], "classes": []}, "names no classes of kind classification"),
        (FACTS | {"trained_on": [], "results": [{"metric": "auc"}]}, "lacks one of ci_high, .* under results"),
    ],
)
def test_a_heads_facts_that_are_damaged_are_told_in_a_sentence(model, facts, told):
    path = model / FOLDER / "grade.safetensors"
    save_fitted(path, Affine(np.zeros((2, 3)), np.zeros(2)), {})
    path.with_suffix(".json").write_text(json.dumps(facts))
    with pytest.raises(UserError, match=f"grade.safetensors cannot be read .*{told}.*export it again"):
        load_fitted(model, 3)
