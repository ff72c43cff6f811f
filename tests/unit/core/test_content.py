"""What tells a slide from one that was replaced: every file of it, and nothing beside it."""

import os
from pathlib import Path

import pytest

from workflow_scripts.core.content import sampled_digest, slide_digest


def _write(path: Path, seed: bytes = b"a") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(seed * 3000)
    return path


def _change(path: Path) -> None:
    """Another content of the same size, at the same second or not."""
    path.write_bytes(path.read_bytes()[::-1].replace(b"a", b"z"))
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1_000_000_000))


@pytest.mark.parametrize("name", ["a.svs", "a.tiff", "a", "a.dcm", "a.mrxs"])
def test_a_slide_of_one_file_is_that_file(tmp_path, name):
    path = _write(tmp_path / name)
    _write(tmp_path / "b.svs", b"b")
    assert slide_digest(path) == sampled_digest(path)


def test_an_image_of_a_file_is_known_by_the_file(tmp_path):
    path = _write(tmp_path / "a.tif")
    assert slide_digest(Path(f"{path}#2")) == slide_digest(path)
    named = _write(tmp_path / "a.tif#3", b"b")
    assert slide_digest(named) == sampled_digest(named) != slide_digest(path)


@pytest.mark.parametrize("name", ["none.svs", "none.dcm", "none.mrxs", "folder"])
def test_no_file_has_no_digest(tmp_path, name):
    (tmp_path / "folder").mkdir()
    _write(tmp_path / "folder" / "notes.txt")
    assert slide_digest(tmp_path / name) is None


@pytest.mark.parametrize("named", ["", "level_0.dcm", "level_1.DCM"])
@pytest.mark.parametrize("changed", ["level_0.dcm", "level_1.DCM"])
def test_every_file_of_a_dicom_series_counts(tmp_path, named, changed):
    files = [_write(tmp_path / "s" / name) for name in ("level_0.dcm", "level_1.DCM")]
    path = tmp_path / "s" / named
    first = slide_digest(path)
    _write(tmp_path / "s" / "notes.txt")
    for file in files:
        os.utime(file, ns=(0, 0))  # copied anew: its times do not count
    assert slide_digest(path) == first == slide_digest(tmp_path / "s")
    _change(tmp_path / "s" / changed)
    second = slide_digest(path)
    assert second != first
    _write(tmp_path / "s" / "level_2.dcm")
    assert slide_digest(path) not in (first, second)


@pytest.mark.parametrize("changed", ["m.mrxs", "m/Slidedat.ini", "m/Index.dat", "m/Data0001.dat"])
def test_every_file_of_an_mrxs_counts(tmp_path, changed):
    for name in ("m.mrxs", "m/Slidedat.ini", "m/Index.dat", "m/Data0000.dat", "m/Data0001.dat"):
        _write(tmp_path / name)
    first = slide_digest(tmp_path / "m.mrxs")
    _write(tmp_path / "other.mrxs", b"b")
    _write(tmp_path / "other" / "Index.dat", b"b")
    _write(tmp_path / "m" / "annotations.xml")
    assert slide_digest(tmp_path / "m.mrxs") == first
    _change(tmp_path / changed)
    assert slide_digest(tmp_path / "m.mrxs") != first


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.svs")
    assert slide_digest(tmp_path / "pipe.svs") is None
