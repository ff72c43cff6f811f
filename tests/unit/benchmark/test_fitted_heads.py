"""What fit_head predicts: of every labelled slide, once, by the task's level, fold and seed."""

import numpy as np
import pyarrow.compute as pc
import pytest

from tests.unit.benchmark.made import (
    N_PATIENTS,
    SUBTYPE,
    attention_of,
    collect,
    copy_embeddings,
    fit_heads,
    split_cohort,
)
from workflow_scripts.core import schemas
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.heads import HEADS, heads_for
from workflow_scripts.core.tables import read_meta, read_table, write_table
from workflow_scripts.mil.attention import ATTENTION
from workflow_scripts.mil.predictions import PREDICTIONS


@pytest.mark.parametrize("head", [name for name in heads_for("classification") if not HEADS[name].prototypes])
def test_every_labelled_slide_is_predicted_once(cohort, head):
    splits = read_table(split_cohort(cohort)).to_pylist()
    path = fit_heads(cohort, head)
    table, meta = read_table(path), read_meta(path)
    assert table.schema.equals(PREDICTIONS)
    rows = table.to_pylist()
    tested = {(row["slide_id"], row["patient_id"], row["fold"]) for row in splits if row["part"] == "test"}
    assert {(row["slide_id"], row["patient_id"], row["fold"]) for row in rows} == tested
    assert len(rows) == 30 and {row["head"] for row in rows} == {head}
    assert {key: meta[key] for key in ("task", "kind", "heads", "representation", "classes", "pretrained_on")} == {
        "task": "t",
        "kind": "classification",
        "heads": [head],
        "representation": "good",
        "classes": ["luad", "lusc"],
        "pretrained_on": "this cohort",
    }
    assert meta["failures"] == {}
    found = sum(meta["classes"][int(np.argmax(row["probabilities"]))] == row["label"] for row in rows)
    assert found >= 27
    attended = read_table(attention_of(path))
    regions = read_table(cohort / "good/regions.parquet")
    owners = dict(zip(regions["region_id"].to_pylist(), regions["slide_id"].to_pylist(), strict=True))
    assert attended.schema.equals(ATTENTION)
    assert read_meta(attention_of(path)).items() >= {"task": "t", "representation": "good"}.items()
    rows = attended.to_pylist()
    assert len(rows) == (4 * 30 if HEADS[head].attends else 0) == len({row["region_id"] for row in rows})
    for slide in {row["slide_id"] for row in rows}:
        own = [row for row in rows if row["slide_id"] == slide]
        assert {owners[row["region_id"]] for row in own} == {slide} and {row["n_fits"] for row in own} == {1}
        assert np.mean([row["attention"] for row in own]) == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize("head", ["knn", "logistic", "mean_mil"])  # networks have the same bits in `test_training.py`
def test_fitted_again_a_head_gives_the_same_bytes(cohort, head):
    split_cohort(cohort)
    assert fit_heads(cohort, head).read_bytes() == fit_heads(cohort, head, output=cohort / "again.parquet").read_bytes()


def test_embeddings_by_fold_are_each_used_in_their_fold(cohort):
    splits = read_table(split_cohort(cohort, few_shot=[2], draws=4, train_fractions=[1.0, 0.5])).to_pylist()
    learnt = [[row["slide_id"] for row in splits if (row["part"], row["fold"]) == ("train", k)] for k in range(3)]
    folders = [f"clean-fold{fold}" for fold in range(3)]
    for fold, name in enumerate(folders):
        copy_embeddings(cohort, name, learnt[fold], zero=fold == 1)
    path = fit_heads(cohort, "logistic", representation="clean", folders=folders)
    meta, whole = read_meta(path), fit_heads(cohort, "logistic")
    tested = [len({row["slide_id"] for row in splits if (row["part"], row["fold"]) == ("test", k)}) for k in range(3)]
    assert meta["saw"] == [[0, count] for count in tested]
    assert (meta["representation"], meta["pretrained_on"]) == ("clean", "a fold (for fold 0, others alike)")
    assert read_meta(whole)["saw"] == [[count, count] for count in tested]

    def by_case(file):
        keys = ("budget", "repeat", "fold", "slide_id")
        return {tuple(row[key] for key in keys): row["probabilities"] for row in read_table(file).to_pylist()}

    found, expected = by_case(path), by_case(whole)
    assert found.keys() == expected.keys() and {key[0] for key in found} == {"all", "50%", "2/class"}
    for (budget, repeat, fold, slide), values in found.items():
        if fold == 1:  # of embeddings without content, so all alike
            same = [v for key, v in found.items() if key[:3] == (budget, repeat, fold)]
            assert all(v == pytest.approx(values) for v in same)
        else:
            assert values == expected[budget, repeat, fold, slide]
    rows, _, _ = collect(cohort, path, whole, compare=[("clean", "good")])
    seen = {row["representation"]: (row["n_test_seen"], row["n_tested"]) for row in rows}
    assert seen == {"clean": (0, 30), "good": (30, 30)}


def test_embeddings_by_fold_that_saw_a_test_slide_are_refused(cohort):
    splits = read_table(split_cohort(cohort)).to_pylist()
    learnt = [[row["slide_id"] for row in splits if (row["part"], row["fold"]) == ("train", k)] for k in range(3)]
    for fold in range(3):
        copy_embeddings(cohort, f"clean-fold{fold}", learnt[2 - fold])
    with pytest.raises(UserError, match="clean is pretrained for each fold, yet for fold 0 on"):
        fit_heads(cohort, "logistic", representation="clean", folders=[f"clean-fold{fold}" for fold in range(3)])


def test_heads_that_share_a_job_predict_what_they_predict_alone(cohort):
    split_cohort(cohort, repeats=2)
    together = read_table(fit_heads(cohort, "knn", "logistic"))
    for head in ("knn", "logistic"):
        alone = read_table(fit_heads(cohort, head, output=cohort / "alone.parquet"))
        assert together.filter(pc.equal(together["head"], head)).equals(alone)


def test_a_patient_is_one_bag_where_the_task_says_so(cohort):
    split_cohort(cohort, SUBTYPE | {"slides_of_patient": "bag"})
    rows = read_table(fit_heads(cohort, "logistic")).to_pylist()
    assert len(rows) == N_PATIENTS == len({row["patient_id"] for row in rows})
    assert {row["slide_id"] for row in rows} == {None}
    told = read_table(attention_of(fit_heads(cohort, "abmil", "logistic"))).to_pylist()
    regions = read_table(cohort / "good/regions.parquet").to_pylist()
    labels = read_table(cohort / "labels.parquet").to_pylist()
    patient_of = {row["slide_id"]: row["patient_id"] for row in labels}
    wanted = {(row["slide_id"], row["region_id"]) for row in regions if row["slide_id"] in patient_of}
    assert {(row["slide_id"], row["region_id"]) for row in told} == wanted and len(told) == len(wanted)
    for patient in set(patient_of.values()):  # the even share is among all regions of the patient
        own = [row["attention"] for row in told if patient_of[row["slide_id"]] == patient]
        assert np.mean(own) == pytest.approx(1, rel=1e-5)


def test_slides_have_labels_of_their_own_at_level_slide(cohort):
    manifest = cohort / "slides.csv"
    manifest.write_text(manifest.read_text().replace("s6-1,s6-1.svs,p6,luad", "s6-1,s6-1.svs,p6,lusc"))
    with pytest.raises(UserError, match="patient p6 has two values"):
        split_cohort(cohort)
    split_cohort(cohort, SUBTYPE | {"level": "slide"})
    rows, _, _ = collect(cohort, fit_heads(cohort, "logistic"))
    assert rows[0]["level"] == "slide" and rows[0]["n_patients"] == N_PATIENTS


def test_head_seeds_are_predicted_apart_where_chance_takes_part(cohort):
    split_cohort(cohort)
    table = read_table(fit_heads(cohort, "mean_mil", seeds=2))
    assert set(table["seed"].to_pylist()) == {0, 1}
    first, second = (table.filter(pc.equal(table["seed"], seed))["probabilities"].to_pylist() for seed in (0, 1))
    assert first != second
    assert set(read_table(fit_heads(cohort, "logistic", seeds=2))["seed"].to_pylist()) == {0}


def test_missing_embedding_is_told(cohort):
    split_cohort(cohort)
    regions = read_table(cohort / "good" / "regions.parquet").to_pylist()
    kept = [row for row in regions if row["slide_id"] != "s7-0"]
    write_table(cohort / "good" / "regions.parquet", kept, schemas.REGION_EMBEDDINGS)
    with pytest.raises(UserError, match="no embedding of slide s7-0"):
        fit_heads(cohort, "knn")
