"""choose_slides from command line to table: whom a fold learns from, as the splits say, and nobody whom it tests."""

import json

import pytest

from workflow_scripts import choose_slides, split_patients
from workflow_scripts.core import schemas
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.feature_store import usable_slides
from workflow_scripts.core.tables import read_meta, read_table, write_table

TASK = {"kind": "classification", "label": "grade"}


@pytest.fixture
def cohort(tmp_path):
    """24 slides of 12 patients; of p00 a slide is excluded, of p01 one has no label, and p02 has none."""
    lines, slides = ["slide_id,path,patient_id,grade,part"], []
    for number in range(24):
        patient = number // 2
        label = "" if number in (2, 4, 5) else "xy"[patient % 2]
        lines.append(f"s{number:02d},s{number:02d}.svs,p{patient:02d},{label},{'test' if patient < 6 else 'train'}")
        status = "excluded" if number == 0 else "ok"
        slides.append({"slide_id": f"s{number:02d}", "patient_id": f"p{patient:02d}", "status": status})
    (tmp_path / "slides.csv").write_text("\n".join([*lines, ""]))
    write_table(tmp_path / "slides.parquet", slides, schemas.SLIDES)
    return tmp_path


def _files(folder):
    return ["--task", "t", "--manifest", f"{folder}/slides.csv", "--slides", f"{folder}/slides.parquet"]


def _chosen(folder, fold, **settings):
    config = json.dumps({"task": TASK, "folds": 3, "repeats": 1, "seed": 5} | settings)
    output = ["--output", f"{folder}/chosen.parquet", "--log", f"{folder}/log"]
    choose_slides.main(["--config", config, *_files(folder), "--fold", str(fold), *output])
    return usable_slides(folder / "chosen.parquet")


@pytest.mark.parametrize("budgets", [{}, {"train_fractions": [1.0, 0.5], "few_shot": [1], "validation_fraction": 0.3}])
def test_all_usable_slides_of_the_patients_that_the_splits_train_on(cohort, budgets):
    config = json.dumps({"task": TASK, "folds": 3, "repeats": 1, "seed": 5, **budgets})
    output = ["--labels", f"{cohort}/labels.parquet", "--output", f"{cohort}/splits.parquet"]
    split_patients.main(["--config", config, *_files(cohort), *output])
    splits = read_table(cohort / "splits.parquet").to_pylist()
    for fold in range(3):
        mine = [row for row in splits if (row["budget"], row["fold"]) == ("all", fold)]
        learnt = {row["patient_id"] for row in mine if row["part"] in ("train", "val")}
        assert len(learnt) < 11 and "p02" not in learnt
        expected = [f"s{i:02d}" for i in range(1, 24) if f"p{i // 2:02d}" in learnt]
        assert _chosen(cohort, fold) == expected
        assert {row["slide_id"] for row in mine if row["part"] == "test"}.isdisjoint(expected)
    table = read_table(cohort / "chosen.parquet")
    assert table.schema.equals(schemas.SLIDES) and read_meta(cohort / "chosen.parquet")["fold"] == 2
    assert f"of the {len(learnt)} patients that fold 2 of task t learns from" in (cohort / "log").read_text()


def test_a_slide_without_label_goes_with_its_patient(cohort):
    chosen = [_chosen(cohort, fold) for fold in range(3)]
    assert sum("s02" in slides for slides in chosen) == sum("s03" in slides for slides in chosen) == 2
    assert not any({"s00", "s04", "s05"} & set(slides) for slides in chosen)


def test_parts_that_are_given(cohort):
    task = TASK | {"splits": {"kind": "column"}}
    assert _chosen(cohort, 0, task=task) == [f"s{i:02d}" for i in range(12, 24)]


def test_a_patient_of_two_parts_is_not_pretrained_on(cohort):
    manifest = cohort / "slides.csv"
    manifest.write_text(manifest.read_text().replace("s12,s12.svs,p06,x,train", "s12,s12.svs,p06,x,test"))
    task = TASK | {"splits": {"kind": "column", "leaks": "report"}}
    assert _chosen(cohort, 0, task=task) == [f"s{i:02d}" for i in range(14, 24)]


def test_nobody_is_left_to_learn_from(cohort):
    """Each patient has one slide in train and one in test."""
    header, *lines = (cohort / "slides.csv").read_text().splitlines()
    parts = [line.rpartition(",")[0] + (",train", ",test")[number % 2] for number, line in enumerate(lines)]
    kept = [line for line in parts if not line.startswith(("s00", "s01", "s02", "s03", "s04", "s05"))]
    (cohort / "slides.csv").write_text("\n".join([header, *kept, ""]))
    task = TASK | {"splits": {"kind": "column", "leaks": "report"}}
    with pytest.raises(UserError, match="every patient that fold 0 of task t learns from is tested in it"):
        _chosen(cohort, 0, task=task)
