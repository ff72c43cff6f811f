"""Scores of every repeat against scikit-learn, and what the folds and seeds do to them."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from sklearn.metrics import roc_auc_score

from tests.unit.mil.planted import CLASSES, predictions
from workflow_scripts.core.heads import HEADS
from workflow_scripts.core.tasks import KINDS
from workflow_scripts.mil.predictions import Predicted, prediction_table, read_tested
from workflow_scripts.mil.scoring import score, smallest_group
from workflow_scripts.mil.variance import variance

KIND = KINDS["classification"]


def scored(table, common_scale=True, design="folds", metric="auc"):
    tested = read_tested(table, KIND, CLASSES, by_slide=False)
    return score(metric, KIND, tested, design, 3.0, HEADS["logistic"], balanced=common_scale)


def areas(frame):
    return roc_auc_score(frame["label"] == "b", [p[1] for p in frame["probabilities"]])


def test_pooled_values_are_those_of_every_repeat_and_folds_those_of_every_test_part():
    table = predictions(1.0, seeds=2)
    found = scored(table)
    frame = table.to_pandas()
    of_seed = frame.groupby(["repeat", "seed"])[["label", "probabilities"]].apply(areas).unstack()
    assert found.by_seed == pytest.approx(of_seed.to_numpy())
    assert found.scores.values == pytest.approx(of_seed.mean(axis=1).to_numpy())
    of_fold = frame.groupby(["repeat", "fold", "seed"])[["label", "probabilities"]].apply(areas)
    assert found.by_fold == pytest.approx(of_fold.groupby(["repeat", "fold"]).mean().to_numpy())
    assert not found.within_folds and found.scores.strata == 1


def test_scores_without_a_common_scale_are_ranked_within_folds():
    """A shift of all scores of a fold changes nothing; it does where folds are pooled, and for no other metric."""
    table = predictions(1.0)
    frame = table.to_pandas()
    frame["probabilities"] = [
        [1 - q, q]
        for q in (p[1] * 0.1 ** (fold + 1) for p, fold in zip(frame["probabilities"], frame["fold"], strict=True))
    ]
    moved = type(table).from_pandas(frame, table.schema, preserve_index=False)
    apart = scored(table, common_scale=False)
    assert apart.within_folds and apart.scores.strata == 4 and apart.scores.ranking_noise > 0
    assert scored(moved, common_scale=False).scores.values == pytest.approx(apart.scores.values)
    assert scored(moved).scores.values != pytest.approx(scored(table).scores.values)
    assert not scored(table, common_scale=False, metric="brier").within_folds


def test_influence_is_by_patient_and_zero_where_not_tested():
    table = predictions(1.0, slides=3)
    first = table.filter(pc.equal(table["patient_id"], "p00"))
    kept = table.filter(pc.or_(pc.not_equal(table["patient_id"], "p00"), pc.equal(table["repeat"], 0)))
    found = scored(kept)
    assert found.patient_ids[0] == "p00" and len(first) == 9
    assert found.scores.influence[0, 0] != 0 and (found.scores.influence[1:, 0] == 0).all()
    assert found.scores.influence.shape == (3, 40)


def test_learning_is_told_where_models_are_optima_of_all_that_is_not_tested():
    tested = read_tested(predictions(1.0, slides=2), KIND, CLASSES, by_slide=False)
    first = read_tested(predictions(1.0, repeats=1), KIND, CLASSES, by_slide=False)

    def learning(metric="brier", tested=tested, design="folds", head="logistic", **more):
        return score(metric, KIND, tested, design, 3.0, HEADS[head], **{"width": 4} | more).scores.learning

    assert learning().shape == (40,)
    assert learning("accuracy") is None and learning("auc") is None
    assert learning(head="knn") is None and learning(head="abmil") is None
    assert learning(balanced=False) is None and learning(width=None) is None
    assert learning(design="held_out") is None and learning(tested=first) is None
    table = predictions(1.0)
    lost = pc.and_(pc.equal(table["patient_id"], "p00"), pc.equal(table["repeat"], 0))
    assert learning(tested=read_tested(table.filter(pc.invert(lost)), KIND, CLASSES, by_slide=False)) is None
    assert KINDS["survival"].metrics["integrated_brier"].squares and KINDS["regression"].metrics["r2"].squares


def test_smallest_group_counts_patients():
    tested = read_tested(predictions(1.0, n=41, slides=2), KIND, CLASSES, by_slide=True)
    assert smallest_group(KIND, tested) == (20, 40 / 41)
    assert np.bincount(tested.patients).tolist() == [2] * 41
    names = {"slide_id": list("abcdef"), "patient_id": list("ppqrst"), "label": list("abaaaa")}
    both = prediction_table(
        "logistic", KIND, pa.table(names), [Predicted("all", 0, 0, 0, np.arange(6), np.ones((6, 2)))]
    )
    of_slides = read_tested(both, KIND, CLASSES, by_slide=True)
    assert smallest_group(KIND, of_slides) == (1, 2 / 6)  # p is of both classes


@pytest.mark.parametrize("metric", ["average_precision", "accuracy", "brier", "auc"])
def test_variance_is_that_of_cohorts_with_the_same_classes(metric):
    """Of one fixed model, tested on 15 patients of one class and 45 of the other, drawn anew 600 times.

    With the share of a class free to vary, the variance of average precision would be more than twice as large.
    """
    random = np.random.default_rng(3)
    label = np.repeat([0, 1], [45, 15])
    names = [f"p{i:02d}" for i in range(60)]
    truth = pa.table({"slide_id": names, "patient_id": names, "label": [CLASSES[i] for i in label]})
    values, expected = [], []
    for _ in range(600):
        chance = 1 / (1 + np.exp(0.8 - 1.2 * label - random.normal(size=60)))
        test = Predicted("all", 0, 0, 0, np.arange(60), np.stack([1 - chance, chance], axis=1))
        found = scored(prediction_table("knn", KIND, truth, [test]), design="held_out", metric=metric).scores
        values.append(found.value)
        expected.append(variance(found))
    assert np.mean(expected) == pytest.approx(np.var(values), rel=0.2)
