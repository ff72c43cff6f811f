"""split_patients, fit_head and collect_results from command line to table, and what they say about wrong input."""

import json

import numpy as np
import pytest

from workflow_scripts import collect_results, fit_head, show_results, split_patients
from workflow_scripts.core import schemas
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.heads import heads_for
from workflow_scripts.core.tables import read_meta, read_table, write_table
from workflow_scripts.core.tasks import KINDS, METRICS
from workflow_scripts.mil.predictions import PREDICTIONS

SUBTYPE = {"kind": "classification", "label": "subtype"}
SURVIVAL = {"kind": "survival", "time": "days", "event": "dead"}
N_PATIENTS = 24


def _cohort(folder):
    """24 patients, two slides for every third; one slide unusable, one unlabelled. `good` carries the class."""
    random = np.random.default_rng(0)
    lines, slides, embeddings = ["slide_id,path,patient_id,subtype,days,dead"], [], {"good": [], "mean": []}
    for patient in range(N_PATIENTS):
        subtype, days = patient % 2, 5 + 40 * (patient % 2) + patient
        for part in range(2 if patient % 3 == 0 else 1):
            name = f"s{patient}-{part}"
            label = "" if name == "s0-1" else ["luad", "lusc"][subtype]
            lines.append(f"{name},{name}.svs,p{patient},{label},{days},{int(patient % 4 != 3)}")
            usable = name != "s3-1"
            status = {"status": "ok"} if usable else {"status": "excluded", "reason": "no_tissue"}
            slides.append({"slide_id": name, "patient_id": f"p{patient}", **status})
            if usable:
                noise = random.normal(size=(4, 6))
                embeddings["good"].append((name, noise + 4 * subtype))
                embeddings["mean"].append((name, random.normal(size=(4, 6))))
    (folder / "slides.csv").write_text("\n".join(lines) + "\n")
    write_table(folder / "slides.parquet", slides, schemas.SLIDES)
    for representation, bags in embeddings.items():
        meta = {"pretrained_on": "this cohort"}
        regions = [
            {"slide_id": name, "region_id": f"{name}_{i}", "vector": vector.tolist()}
            for name, bag in bags
            for i, vector in enumerate(bag)
        ]
        vectors = [{"slide_id": name, "vector": bag.mean(axis=0).tolist()} for name, bag in bags]
        write_table(folder / representation / "regions.parquet", regions, schemas.REGION_EMBEDDINGS, meta)
        write_table(folder / representation / "slides.parquet", vectors, schemas.SLIDE_EMBEDDINGS, meta)


def _split(folder, task=SUBTYPE, **settings):
    config = json.dumps({"task": task, "folds": 3, "seed": 0, **settings})
    files = ["--manifest", f"{folder}/slides.csv", "--slides", f"{folder}/slides.parquet"]
    split_patients.main(["--config", config, "--task", "t", *files, "--output", f"{folder}/splits.parquet"])
    return folder / "splits.parquet"


def _fit(folder, head, representation="good", task=SUBTYPE, output=None):
    output = output or folder / f"{representation}-{head}.parquet"
    config = json.dumps({"task": task, "seed": 0})
    files = ["--manifest", f"{folder}/slides.csv", "--splits", f"{folder}/splits.parquet"]
    options = ["--embeddings", f"{folder}/{representation}", "--output", str(output), "--gpu", "0"]
    fit_head.main(["--config", config, "--task", "t", "--head", head, *files, *options])
    return output


def _collect(folder, *predictions, baseline="mean"):
    config = json.dumps({"baseline": baseline, "bootstraps": 100, "seed": 0})
    log = folder / "collect.log"
    options = ["--output", f"{folder}/results.parquet", "--log", str(log)]
    collect_results.main(["--config", config, "--predictions", *map(str, predictions), *options])
    return read_table(folder / "results.parquet").to_pylist(), log.read_text()


@pytest.fixture
def cohort(tmp_path):
    _cohort(tmp_path)
    return tmp_path


def test_splits_list_labelled_usable_slides_in_every_fold(cohort):
    path = _split(cohort, validation_fraction=0.2)
    table, meta = read_table(path), read_meta(path)
    assert table.schema.equals(schemas.SPLITS)
    assert len(table) == 3 * 30
    names = set(table["slide_id"].to_pylist())
    assert "s0-1" not in names  # no label
    assert "s3-1" not in names  # not usable
    assert meta["excluded"] == {"no_label": 1, "not_usable": 1}
    assert (meta["n_excluded"], meta["n_slides"], meta["n_patients"]) == (2, 30, 24)
    assert (meta["classes"], meta["kind"], meta["counts"]) == (
        ["luad", "lusc"],
        "classification",
        {"luad": 12, "lusc": 12},
    )
    assert set(table["part"].to_pylist()) == {"train", "val", "test"}


def test_repeats_are_further_deals_of_the_same_slides(cohort):
    rows = read_table(_split(cohort, repeats=4)).to_pylist()
    assert len(rows) == 4 * 3 * 30
    assert {(row["repeat"], row["fold"], row["budget"]) for row in rows} == {
        (repeat, fold, "all") for repeat in range(4) for fold in range(3)
    }


def test_same_seed_same_bytes(cohort):
    first = _split(cohort).read_bytes()
    assert _split(cohort).read_bytes() == first
    assert _split(cohort, seed=1).read_bytes() != first


@pytest.mark.parametrize("head", heads_for("classification"))
def test_every_labelled_slide_is_predicted_once(cohort, head):
    splits = read_table(_split(cohort)).to_pylist()
    path = _fit(cohort, head)
    table, meta = read_table(path), read_meta(path)
    assert table.schema.equals(PREDICTIONS)
    rows = table.to_pylist()
    tested = {(row["slide_id"], row["patient_id"], row["fold"]) for row in splits if row["part"] == "test"}
    assert {(row["slide_id"], row["patient_id"], row["fold"]) for row in rows} == tested
    assert len(rows) == 30
    assert {key: meta[key] for key in ("task", "kind", "head", "representation", "classes", "pretrained_on")} == {
        "task": "t",
        "kind": "classification",
        "head": head,
        "representation": "good",
        "classes": ["luad", "lusc"],
        "pretrained_on": "this cohort",
    }
    found = sum(meta["classes"][int(np.argmax(row["probabilities"]))] == row["label"] for row in rows)
    assert found >= 27
    assert _fit(cohort, head, output=cohort / "again.parquet").read_bytes() == path.read_bytes()


def test_survival_from_splits_to_results(cohort):
    _split(cohort, SURVIVAL)
    files = [_fit(cohort, "cox", name, SURVIVAL) for name in ("good", "mean")]
    row = read_table(files[0]).to_pylist()[0]
    assert row["label"] is None
    assert row["probabilities"] is None
    assert isinstance(row["risk"], float)
    rows, _ = _collect(cohort, *files)
    assert [(row["representation"], row["metric"]) for row in rows] == [
        (name, metric) for name in ("good", "mean") for metric in ("c_index", "time_dependent_auc")
    ]
    assert rows[0]["pooled"] > 0.6


def test_ordinal_task_adds_kappa_and_keeps_the_order_of_grades(cohort):
    task = {"kind": "ordinal", "label": "subtype", "classes": ["lusc", "luad"]}
    assert read_meta(_split(cohort, task))["classes"] == ["lusc", "luad"]
    rows, _ = _collect(cohort, _fit(cohort, "logistic", task=task), baseline="good")
    assert [row["metric"] for row in rows] == list(KINDS["ordinal"].metrics)
    assert all(row["pooled"] > 0.8 for row in rows if METRICS[row["metric"]].larger_is_better)


def test_results_compare_with_the_baseline(cohort):
    _split(cohort)
    rows, log = _collect(cohort, *(_fit(cohort, "logistic", name) for name in ("good", "mean")))
    assert read_table(cohort / "results.parquet").schema.equals(schemas.RESULTS)
    of = {(row["representation"], row["metric"]): row for row in rows}
    good, mean = of["good", "auc"], of["mean", "auc"]
    assert good["pooled"] > 0.9 > mean["pooled"]
    assert good["difference"] == pytest.approx(good["pooled"] - mean["pooled"])
    assert good["difference_low"] > 0
    assert mean["baseline"] is None
    assert mean["difference"] is None
    assert (good["n_patients"], good["n_slides"], good["n_excluded"], len(good["folds"])) == (24, 30, 2, 3)
    assert "good" in log
    assert f"{good['pooled']:.3f} [" in log


def test_without_predictions_the_table_is_empty(cohort):
    """A cohort without a task: the rule names no file."""
    rows, log = _collect(cohort)
    assert rows == [] and "no task is named" in log
    assert read_table(cohort / "results.parquet").schema.equals(schemas.RESULTS)


def test_results_are_shown_by_the_headline_of_their_kind(cohort, capsys):
    _split(cohort)
    _collect(cohort, *(_fit(cohort, "logistic", name) for name in ("good", "mean")))
    (cohort / "benchmark").mkdir()
    (cohort / "results.parquet").rename(cohort / "benchmark/results.parquet")
    show_results.main([str(cohort)])
    told = capsys.readouterr().out
    assert [line.split()[:4] for line in told.splitlines() if "logistic" in line] == [
        ["t", "logistic", "good", "auc"],
        ["t", "logistic", "mean", "auc"],
    ]
    _collect(cohort)
    (cohort / "results.parquet").rename(cohort / "benchmark/results.parquet")
    show_results.main([str(cohort)])
    assert "No task is named under benchmark.tasks" in capsys.readouterr().out


def test_splits_of_other_labels_are_refused(cohort):
    _split(cohort)
    manifest = cohort / "slides.csv"
    manifest.write_text(manifest.read_text().replace("s5-0,s5-0.svs,p5,lusc", "s5-0,s5-0.svs,p5,"))
    with pytest.raises(UserError, match="run split_patients again"):
        _fit(cohort, "knn")
    assert not (cohort / "good-knn.parquet").exists()


def test_missing_embedding_and_unfit_head_are_told(cohort):
    _split(cohort)
    with pytest.raises(UserError, match="head cox is not made for classification"):
        _fit(cohort, "cox")
    regions = read_table(cohort / "good" / "regions.parquet").to_pylist()
    kept = [row for row in regions if row["slide_id"] != "s7-0"]
    write_table(cohort / "good" / "regions.parquet", kept, schemas.REGION_EMBEDDINGS)
    with pytest.raises(UserError, match="no embedding of slide s7-0"):
        _fit(cohort, "knn")


def test_more_folds_than_patients_of_a_class(cohort):
    with pytest.raises(UserError, match="12 usable patients with class 'luad', fewer than the 13 folds"):
        _split(cohort, folds=13)
