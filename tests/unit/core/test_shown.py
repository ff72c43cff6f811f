"""A folder of `slpd apply`: what one call adds, and what it may not touch."""

from pathlib import Path

import pytest

from workflow_scripts.core import schemas
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.manifest import load_manifest, read_manifest
from workflow_scripts.core.shown import (
    ALL,
    NOW,
    add_slides,
    remove_other_folders,
    require_own_folder,
    require_usable,
    rows_of_others,
)
from workflow_scripts.core.tables import write_table


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A folder to show slides in, beside slides a.svs, b.svs and d/a.svs; a model with a digest."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d").mkdir()
    for name in ("a.svs", "b.svs", "d/a.svs"):
        (tmp_path / name).write_bytes(b"")
    for model in ("model", "other"):
        (tmp_path / model).mkdir()
        (tmp_path / model / "config.json").write_text(f'{{"architecture": {{}}, "model_sha256": "{model}"}}')
    return tmp_path / "applied"


def test_a_call_adds_its_slides_to_those_of_earlier_calls(folder, monkeypatch):
    add_slides(folder, ["a.svs"], 0.5)
    rows = add_slides(folder, ["b.svs"], None)
    assert [(row.slide_id, row.path, row.mpp) for row in rows] == [("b", "b.svs", None)]
    assert read_manifest(folder / NOW) == rows
    monkeypatch.chdir(folder.parent / "d")  # whatever folder a call is made from
    add_slides(folder, ["../a.svs"], 0.25, "p1")
    assert load_manifest(folder / ALL).patients == load_manifest(folder / NOW).patients == {"a": "p1"}
    found = [(row.slide_id, row.path, row.mpp) for row in read_manifest(folder / ALL)]
    assert found == [("a", f"{folder.parent}/a.svs", 0.25), ("b", f"{folder.parent}/b.svs", None)]


def test_another_slide_of_the_same_name_is_refused_and_the_first_stays(folder):
    add_slides(folder, ["a.svs"], None)
    with pytest.raises(UserError, match=r"d/a.svs has the name of a slide that is in .* already, .*/a.svs; give anot"):
        add_slides(folder, ["d/a.svs"], None)
    assert [row.path for row in read_manifest(folder / ALL)] == [f"{folder.parent}/a.svs"]


def test_a_folder_of_another_model_or_with_a_manifest_of_ones_own_is_refused(folder):
    require_own_folder(folder, "model")
    add_slides(folder, ["a.svs"], None)
    write_table(folder / "slides.parquet", [], schemas.APPLIED, {"model_sha256": "model"})
    require_own_folder(folder, "model")
    with pytest.raises(UserError, match=r"slides.parquet holds slides as another model sees them; .* --output"):
        require_own_folder(folder, "other")
    (folder.parent / "slides.csv").write_text("slide_id,path,label\na,a.svs,x\n")
    with pytest.raises(UserError, match=r"slides.csv is no list of slides that slpd apply has shown"):
        require_own_folder(folder.parent, "model")


@pytest.mark.parametrize("name", ["pretrain", "embeddings", "benchmark"])
def test_the_folder_of_a_cohort_is_refused(folder, name):
    (folder / name).mkdir(parents=True)
    with pytest.raises(UserError, match=r"holds a cohort that was trained on, which new slides must not change"):
        require_own_folder(folder, "model")


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "applied").touch()
    with pytest.raises(UserError, match=r"applied is a file; give a folder as --output"):
        require_own_folder(tmp_path / "applied", "model")


def test_slides_of_the_call_that_cannot_be_used_are_told(folder):
    table = folder / "slides.parquet"
    rows = [("a", "ok", ""), ("b", "excluded", "empty"), ("c", "excluded", "no_mpp"), ("d", "excluded", "empty")]
    found = [{"slide_id": slide, "status": status, "reason": reason, "detail": ""} for slide, status, reason in rows]
    write_table(table, found, schemas.APPLIED)
    require_usable(table, ["a"])
    with pytest.raises(UserError, match=r"^1 of 2 slides cannot be used, .*slides.parquet says why: b \(empty\)$"):
        require_usable(table, ["a", "b"])
    with pytest.raises(UserError, match=r"2 of 2 .*: b \(empty\), c \(no_mpp\); --mpp tells a scale$"):
        require_usable(table, ["b", "c"])
    with pytest.raises(UserError, match=r"c \(no_mpp\); is --mpp 1 right\?$"):
        require_usable(table, ["c"], 1.0)


def test_rows_and_folders_of_other_slides(folder):
    table = folder / "slides.parquet"
    assert rows_of_others(table, []) == []
    row = {field.name: None for field in schemas.APPLIED} | {"status": "ok", "reason": "", "detail": ""}
    write_table(table, [row | {"slide_id": name} for name in ("a", "b")], schemas.APPLIED)
    assert [found["slide_id"] for found in rows_of_others(table, ["a"])] == ["b"]
    for name in ("a", "b"):
        (folder / "slides" / name).mkdir(parents=True)
    remove_other_folders(folder / "slides", ["b"])
    assert [path.name for path in (folder / "slides").iterdir()] == ["b"]
