"""The table of the cohort, and when too much of it is lost."""

import csv
from pathlib import Path

import pytest

from workflow_scripts import summarise_cohort
from workflow_scripts.core import schemas
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.manifest import shard_of
from workflow_scripts.core.tables import read_table, write_table

SHARDS = 3


def _cohort(folder: Path, reasons: dict[str, str], not_indexed: tuple[str, ...] = ()) -> None:
    """Slides with the reason of their exclusion, empty where they are usable."""
    with (folder / "slides.csv").open("w", newline="") as file:
        rows = [(name, f"{name}.svs", f"patient_{name[0]}") for name in reasons]
        csv.writer(file).writerows([("slide_id", "path", "patient_id"), *rows])
    index: dict[int, list] = {shard: [] for shard in range(SHARDS)}
    for name, reason in reasons.items():
        status = {"status": "excluded" if reason else "ok", "reason": reason, "detail": reason and f"{name} is broken"}
        check = {"slide_id": name, "path": f"{name}.svs", "vendor": "aperio", "width": 100, "height": 50, "mpp_x": 0.5}
        # A slide that fails late passed its check.
        late = {"status": "ok", "reason": "", "detail": ""} if reason == "read_error" else status
        write_table(folder / f"check/{name}.parquet", [check | late], schemas.CHECK)
        meta = {} if reason else {"pen_fraction": 0.125, "blurred_fraction": None}
        write_table(folder / f"tissue/{name}.parquet", [], schemas.CHECK, meta)
        row = {"slide_id": name, "n_regions": 0 if reason else 7, "unreadable_fraction": 0.25, "tissue_mm2": 2.5}
        if name not in not_indexed:
            index[shard_of(name, SHARDS)].append(row | status)
    for shard, rows in index.items():
        write_table(folder / f"features/shard_{shard}.parquet", rows[::-1], schemas.FEATURE_INDEX)


def _run(folder: Path, limit: float = 0.5) -> list[dict]:
    output = folder / "out/slides.parquet"
    summarise_cohort.main(
        [
            *("--manifest", str(folder / "slides.csv"), "--check-folder", str(folder / "check")),
            *("--tissue-folder", str(folder / "tissue")),
            "--indices",
            *(str(folder / f"features/shard_{shard}.parquet") for shard in range(SHARDS)),
            *("--max-failed-fraction", str(limit), "--output", str(output), "--log", str(folder / "log.txt")),
        ]
    )
    assert read_table(output).schema.names == schemas.SLIDES.names
    return read_table(output).to_pylist()


def _message(folder: Path, limit: float = 0.5) -> str:
    with pytest.raises(UserError) as caught:
        _run(folder, limit)
    assert not (folder / "out/slides.parquet").exists()
    return str(caught.value)


def test_one_row_a_slide_in_manifest_order(tmp_path):
    _cohort(tmp_path, {"z": "", "a": "read_error", "m": "", "b": ""})
    rows = _run(tmp_path)
    assert [row["slide_id"] for row in rows] == ["z", "a", "m", "b"]
    assert [row["patient_id"] for row in rows] == ["patient_z", "patient_a", "patient_m", "patient_b"]
    assert [row["status"] for row in rows] == ["ok", "excluded", "ok", "ok"]
    expected = {"reason": "read_error", "detail": "a is broken", "n_regions": 0, "path": "a.svs", "vendor": "aperio"}
    expected |= {"width": 100, "height": 50, "mpp_x": 0.5, "unreadable_fraction": 0.25, "tissue_mm2": 2.5}
    assert {key: rows[1][key] for key in expected} == expected
    assert rows[0]["n_regions"] == 7
    assert [row["pen_fraction"] for row in rows] == [0.125, None, 0.125, 0.125]
    assert {row["blurred_fraction"] for row in rows} == {None}
    log = (tmp_path / "log.txt").read_text()
    assert "slide a is excluded: read_error, a is broken" in log
    assert "3 of 4 slides are usable" in log


def test_the_limit_is_inclusive(tmp_path):
    _cohort(tmp_path, {"a": "no_mpp", "b": "no_tissue", "c": "", "d": ""})
    assert len(_run(tmp_path, 0.5)) == 4
    (tmp_path / "out/slides.parquet").unlink()
    message = _message(tmp_path, 0.49)
    assert "2 of 4" in message
    assert "cohort.max_failed_fraction (0.49)" in message


def test_the_commonest_reason_and_the_folder_are_named(tmp_path):
    _cohort(tmp_path, {"a": "no_mpp", "b": "no_tissue", "c": "no_tissue", "d": ""})
    message = _message(tmp_path)
    assert "3 of 4" in message
    assert "no_tissue (2)" in message
    assert str(tmp_path / "check") in message


def test_no_slide_left_is_refused_whatever_the_limit(tmp_path):
    _cohort(tmp_path, {"a": "no_mpp", "b": "missing_file"})
    assert "so none is left (a: " in _message(tmp_path, 1.0)


def test_all_files_missing_points_to_the_paths(tmp_path):
    _cohort(tmp_path, {"a": "missing_file", "b": "missing_file"})
    message = _message(tmp_path, 1.0)
    assert "none of the 2 slide files" in message
    assert "a.svs" in message
    assert "column path" in message


def test_missing_tables_name_the_stage(tmp_path):
    _cohort(tmp_path, {"a": "", "b": ""}, not_indexed=("b",))
    assert "extract_features" in _message(tmp_path)
    (tmp_path / "features/shard_1.parquet").unlink()
    assert "shard_1.parquet does not exist" in _message(tmp_path)
    (tmp_path / "check/a.parquet").unlink()
    assert "run check_slide" in _message(tmp_path)
