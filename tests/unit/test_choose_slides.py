"""choose_slides from command line to table: whom a fold learns from, and nobody whom it tests."""

import pytest

from workflow_scripts import choose_slides
from workflow_scripts.core import schemas
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.feature_store import usable_slides
from workflow_scripts.core.tables import read_meta, read_table, write_table


@pytest.fixture
def cohort(tmp_path):
    """Ten slides of five patients, two each, one of them excluded; p4 has no label, and is in no split."""
    slides = [
        {"slide_id": f"s{i}", "patient_id": f"p{i // 2}", "status": "excluded" if i == 3 else "ok"} for i in range(10)
    ]
    write_table(tmp_path / "slides.parquet", slides, schemas.SLIDES)
    return tmp_path


def _split(*parts, repeat=0, fold=0, budget="all"):
    """Rows of a split: each of `parts` names a slide, its patient and its part."""
    place = {"repeat": repeat, "fold": fold, "budget": budget}
    return [dict(zip(("slide_id", "patient_id", "part"), part.split(), strict=True)) | place for part in parts]


def _chosen(folder, rows, fold=0):
    write_table(folder / "splits.parquet", rows, schemas.SPLITS, {"task": "grade"})
    files = ["--slides", f"{folder}/slides.parquet", "--splits", f"{folder}/splits.parquet"]
    choose_slides.main([*files, "--fold", str(fold), "--output", f"{folder}/chosen.parquet", "--log", f"{folder}/log"])
    return usable_slides(folder / "chosen.parquet")


def test_training_and_validation_patients_with_all_their_slides(cohort):
    rows = _split("s0 p0 test", "s1 p0 test", "s2 p1 train", "s4 p2 val", "s6 p3 train", "s7 p3 train")
    assert _chosen(cohort, rows) == ["s2", "s4", "s5", "s6", "s7"]  # s3 is excluded, s5 has no label
    table = read_table(cohort / "chosen.parquet")
    assert table.schema.equals(schemas.SLIDES) and len(table) == 6
    assert read_meta(cohort / "chosen.parquet")["fold"] == 0
    assert "5 of 9 slides, of the 3 patients that fold 0 of task grade learns from" in (cohort / "log").read_text()


def test_the_first_repeat_and_all_training_patients_decide(cohort):
    rows = _split("s0 p0 test", "s2 p1 train", "s4 p2 train")
    rows += _split("s0 p0 train", "s2 p1 test", "s4 p2 test", fold=1)
    rows += _split("s0 p0 train", "s2 p1 test", "s4 p2 train", repeat=1)
    rows += _split("s0 p0 test", "s2 p1 train", "s4 p2 unused", budget="50%")
    assert _chosen(cohort, rows) == ["s2", "s4", "s5"]
    assert _chosen(cohort, rows, fold=1) == ["s0", "s1"]


def test_a_patient_of_two_parts_is_not_pretrained_on(cohort):
    assert _chosen(cohort, _split("s0 p0 train", "s1 p0 test", "s2 p1 train")) == ["s2"]


def test_a_fold_without_usable_slides(cohort):
    with pytest.raises(UserError, match="fold 2 of task grade has no training patient with a usable slide"):
        _chosen(cohort, _split("s0 p0 test", "s3 p9 train", fold=2), fold=2)
