"""Results that are taken back instead of made anew."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from workflow_scripts.core import kept
from workflow_scripts.core.kept import KeptResult, fingerprint

MADE_OF = "0123456789abcdef"
CONTENT = {"state.safetensors": b"weights", "metrics.parquet": b"curves"}


def outputs(folder: Path) -> list[str]:
    return [str(folder / name) for name in CONTENT]


def result(folder: Path, made_of: str = MADE_OF, **more: bool) -> KeptResult:
    return KeptResult(made_of, outputs(folder), **more)


def made(folder: Path, content: dict[str, bytes] = CONTENT, **more: bool) -> KeptResult:
    """A job's outputs, written and kept."""
    folder.mkdir(exist_ok=True)
    for name, data in content.items():
        (folder / name).unlink(missing_ok=True)
        (folder / name).write_bytes(data)
    done = result(folder, **more)
    done.keep()
    return done


def deleted(folder: Path) -> Path:
    """As Snakemake leaves the folder when it starts the job."""
    for name in CONTENT:
        (folder / name).unlink()
    return folder


def test_deleted_outputs_come_back_as_they_were_and_as_new(tmp_path):
    made(tmp_path)
    for name in CONTENT:
        os.utime(tmp_path / name, (1e9, 1e9))
    later = tmp_path / "input"
    later.touch()
    assert result(deleted(tmp_path)).take_back()
    assert {name: (tmp_path / name).read_bytes() for name in CONTENT} == CONTENT
    assert all((tmp_path / name).stat().st_mtime_ns >= later.stat().st_mtime_ns for name in CONTENT)
    assert not list(tmp_path.rglob("*.partial"))
    assert result(deleted(tmp_path)).take_back()  # and once more
    assert result(tmp_path).take_back()  # where nobody has deleted them


def test_outputs_that_are_there_take_no_room_twice(tmp_path):
    made(tmp_path)
    for name in CONTENT:
        assert (tmp_path / name).samefile(tmp_path / ".kept" / name)


def test_another_result_is_not_taken_and_replaces_what_was_kept(tmp_path):
    made(tmp_path)
    other = result(deleted(tmp_path), "fedcba9876543210")
    assert not other.take_back()
    assert {path.name for path in tmp_path.glob("*.*")} == {".kept"}
    made(tmp_path, {name: b"other" for name in CONTENT})
    assert result(deleted(tmp_path)).take_back()
    assert (tmp_path / "metrics.parquet").read_bytes() == b"other"
    assert {file.name for file in (tmp_path / ".kept").iterdir()} == {*CONTENT, "state.json"}


@pytest.mark.parametrize("harm", ["edited", "lost", "no record", "half a record", "other release", "folder deleted"])
def test_in_doubt_the_job_is_done(tmp_path, monkeypatch, harm):
    made(tmp_path)
    deleted(tmp_path)
    own = tmp_path / ".kept"
    record = own / "state.json"
    if harm == "edited":
        (own / "metrics.parquet").write_bytes(b"curve!")
    elif harm == "lost":
        (own / "metrics.parquet").unlink()
    elif harm == "no record":
        record.unlink()
    elif harm == "half a record":
        record.write_text(record.read_text()[:40])
    elif harm == "other release":
        monkeypatch.setattr(kept, "version", lambda name: "0.0")
    else:
        for file in own.iterdir():
            file.unlink()
        own.rmdir()
    assert not result(tmp_path).take_back()
    assert not [name for name in CONTENT if (tmp_path / name).exists()]


def test_without_a_digest_of_the_code_nothing_is_kept(tmp_path):
    made(tmp_path, may_keep=False)
    assert not (tmp_path / ".kept").exists()
    made(tmp_path)
    assert not result(deleted(tmp_path), may_keep=False).take_back()


def test_a_process_of_several_leaves_it_to_the_one_that_started_it(tmp_path, monkeypatch):
    made(tmp_path)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    assert not result(deleted(tmp_path)).take_back()


def test_a_file_system_without_hard_links_keeps_nothing(tmp_path, monkeypatch):
    def refused(source: Path, target: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    made(tmp_path)
    assert {file.name for file in tmp_path.rglob("*") if file.is_file()} == set(CONTENT)
    assert not result(deleted(tmp_path)).take_back()


def test_two_jobs_of_one_folder_are_kept_apart(tmp_path):
    made(tmp_path)
    tables = [str(tmp_path / name) for name in ("prototypes.parquet", "assignments.parquet")]
    for table in tables:
        Path(table).write_text(table)
    KeptResult("a", tables).keep()
    for table in tables:
        Path(table).unlink()
    assert KeptResult("a", tables).take_back()
    assert result(deleted(tmp_path)).take_back()


def test_the_fingerprint_follows_code_settings_order_and_content_and_no_names(tmp_path):
    file, twin, other = (tmp_path / name for name in "abc")
    file.write_text("1")
    twin.write_text("1")
    other.write_text("2")
    base = fingerprint("code", "settings", [str(file), str(other)], "features")
    assert base == fingerprint("code", "settings", [str(twin), str(other)], "features")
    parts = ["code", "settings", [hashlib.sha256(text).hexdigest() for text in (b"1", b"2")], ["features"]]
    assert base == hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
    others = {
        fingerprint("code2", "settings", [str(file), str(other)], "features"),
        fingerprint("code", "settings2", [str(file), str(other)], "features"),
        fingerprint("code", "settings", [str(other), str(file)], "features"),
        fingerprint("code", "settings", [str(file)], "features"),
        fingerprint("code", "settings", [str(file), str(tmp_path / "gone")], "features"),
        fingerprint("code", "settings", [str(file), str(other)], "features2"),
        fingerprint("code", "settings", [str(file), str(other)]),
    }
    assert len(others) == 7 and base not in others
