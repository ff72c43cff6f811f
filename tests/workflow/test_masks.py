"""Masks in the user's folder rerun their own slides, by content."""

import os
from pathlib import Path

import pytest

from tests.workflow.tiny import CONFIG, changed, copy_project, planned, snakemake, write_config
from workflow_scripts.core.tables import read_meta, read_table

ONE = {"segment_tissue": 1, "tile_regions": 1}
WITH_MASKS = changed(CONFIG, "tissue.masks", "masks")


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> Path:
    folder = copy_project(finished, tmp_path / "tiny")
    (folder / "masks").mkdir()
    write_config(folder, WITH_MASKS)
    return folder


def _slide(project: Path) -> str:
    return sorted(file.stem for file in (project / "results/tiny/tissue").glob("demo_*.geojson"))[0]


def _of_slides(jobs: dict[str, int]) -> dict[str, int]:
    return {rule: jobs[rule] for rule in ONE if rule in jobs}


def test_an_empty_folder_reruns_the_report_alone_which_shows_the_key(project: Path) -> None:
    assert planned(project) == {"write_report": 1}


def test_a_mask_added_edited_and_removed_reruns_its_slide_alone(project: Path) -> None:
    slide = _slide(project)
    mask = project / f"masks/{slide}.geojson"
    table = project / f"results/tiny/tissue/{slide}.parquet"
    mask.write_bytes((project / f"results/tiny/tissue/{slide}.geojson").read_bytes())
    jobs = planned(project)
    assert _of_slides(jobs) == ONE and jobs["extract_features"] == 1 and jobs["summarise_cohort"] == 1
    assert snakemake(project, "features").returncode == 0
    assert read_meta(table)["mask"] == f"masks/{slide}.geojson" and planned(project, "features") == {}
    os.utime(mask)
    assert planned(project, "features") == {}
    mask.write_text(mask.read_text().replace("Tissue", "Ignore*", 1))
    assert _of_slides(planned(project)) == ONE
    mask.write_text("{")
    assert snakemake(project, "features").returncode == 0
    rows = {row["slide_id"]: row for row in read_table(project / "results/tiny/slides.parquet").to_pylist()}
    assert rows[slide]["reason"] == "bad_mask" and f"masks/{slide}.geojson" in rows[slide]["detail"]
    mask.unlink()
    assert _of_slides(planned(project)) == ONE
    assert snakemake(project, "features").returncode == 0
    assert read_meta(table)["mask"] is None and planned(project, "features") == {}


def test_a_mask_of_no_slide_is_named_and_a_missing_folder_is_refused(project: Path) -> None:
    (project / "masks/nobody.png").write_text("")
    result = snakemake(project, "-n")
    assert result.returncode == 0 and "masks/nobody.png" in result.stdout
    write_config(project, changed(CONFIG, "tissue.masks", "elsewhere"))
    result = snakemake(project, "-n")
    assert result.returncode != 0 and "tissue.masks: there is no folder elsewhere" in result.stdout
