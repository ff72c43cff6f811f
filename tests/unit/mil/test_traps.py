"""Traps that would print a number nobody should believe: each must fail loudly, or be taken for what it is."""

import json

import numpy as np
import pytest

from workflow_scripts import split_patients
from workflow_scripts.core import schemas
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.tables import read_meta, read_table, write_table
from workflow_scripts.mil.splits import Split, require_no_leak


@pytest.fixture
def cohort(tmp_path):
    """Twelve patients with two slides each."""
    names = [(f"s{i:02d}", f"p{i // 2:02d}", "xy"[i // 2 % 2]) for i in range(24)]
    lines = [f"{slide},{slide}.svs,{patient},{grade}" for slide, patient, grade in names]
    (tmp_path / "slides.csv").write_text("\n".join(["slide_id,path,patient_id,grade", *lines]) + "\n")
    rows = [{"slide_id": slide, "patient_id": patient, "status": "ok"} for slide, patient, _ in names]
    write_table(tmp_path / "slides.parquet", rows, schemas.SLIDES)
    return tmp_path


def _split(folder, rows, **splits):
    """Splits of a file with the given rows of slide, fold and part."""
    lines = [",".join(map(str, row)) for row in rows]
    (folder / "given.csv").write_text("\n".join(["slide_id,fold,part", *lines]) + "\n")
    given = {"kind": "file", "file": str(folder / "given.csv"), **splits}
    config = json.dumps({"task": {"kind": "classification", "label": "grade", "splits": given}})
    files = ["--manifest", f"{folder}/slides.csv", "--slides", f"{folder}/slides.parquet"]
    files += ["--labels", f"{folder}/labels.parquet", "--output", f"{folder}/splits.parquet"]
    split_patients.main(["--config", config, "--task", "t", *files])
    return read_table(folder / "splits.parquet").to_pylist(), read_meta(folder / "splits.parquet")


# The identity of the patient tells the label of every test slide: an AUC of 1 that says nothing.
_BY_SLIDE = [(f"s{i:02d}", 0, "train" if i % 2 else "test") for i in range(24)]


def test_a_splits_file_that_leaks_is_refused(cohort):
    with pytest.raises(UserError, match="12 patients are in train and test"):
        _split(cohort, _BY_SLIDE)
    assert not (cohort / "splits.parquet").exists()


def test_a_leak_that_is_left_in_is_told_with_its_numbers(cohort):
    _, meta = _split(cohort, _BY_SLIDE, leaks="report")
    assert meta["leaks"]["policy"] == "report"
    assert meta["leaks"]["splits"] == [
        {"repeat": 0, "fold": 0, "patients": 12, "in_validation": 0, "test_slides": 12, "of_test_slides": 12}
    ]


def test_a_split_that_is_nothing_but_leak_leaves_nothing_to_learn(cohort):
    with pytest.raises(UserError, match="has no labelled patient of 'x', so nothing can be learnt"):
        _split(cohort, _BY_SLIDE, leaks="drop_from_train")


@pytest.mark.parametrize("leaks", ["refuse", "report", "drop_from_train", "drop_from_test"])
def test_a_slide_in_two_parts_is_refused_always(cohort, leaks):
    rows = [(f"s{i:02d}", 0, "train" if i < 12 else "test") for i in range(24)]
    with pytest.raises(UserError, match="slide s05 is in train and test of repeat 0, fold 0; keep one of the two"):
        _split(cohort, [*rows, ("s05", 0, "test")], leaks=leaks)


def test_a_patient_tested_by_several_models_is_never_one_result(cohort):
    """Two folds of a file test the same patients: they become draws, so that no repeat tests a patient twice."""
    rows = [(f"s{i:02d}", fold, "test" if i // 8 in (0, fold + 1) else "train") for fold in (0, 1) for i in range(24)]
    made, meta = _split(cohort, rows)
    assert meta["design"] == "draws"
    tested = [(row["repeat"], row["fold"], row["patient_id"]) for row in made if row["part"] == "test"]
    assert {(repeat, fold) for repeat, fold, _ in tested} == {(0, 0), (1, 0)}
    folds_of = {}
    for repeat, fold, patient in tested:
        folds_of.setdefault((repeat, patient), set()).add(fold)
    assert all(len(folds) == 1 for folds in folds_of.values())


def test_a_leak_that_the_deal_itself_would_make_ends_the_run():
    with pytest.raises(AssertionError, match="patient p is in train and test"):
        require_no_leak(["p", "p"], [Split("all", 0, 0, np.array(["train", "test"]))])
