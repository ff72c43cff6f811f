"""One slide in two rows is found before it becomes its own neighbour: by a link, by series, by content."""

import os
import shutil

import numpy as np
import pytest

from tests.unit.config.refused import cohort, refusal, with_files
from workflow_scripts.core.duplicates import require_different_slides
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.manifest import SlideRow


def _rows(*paths, **more):
    return [SlideRow(f"s{number}", str(path), f"p{number}", None, {}, **more) for number, path in enumerate(paths)]


def _refused(*paths, **more):
    with pytest.raises(UserError) as error:
        require_different_slides(_rows(*paths, **more), "slides.csv")
    assert "\n" not in str(error.value) and str(error.value).startswith("slides.csv: slides s0 (")
    return str(error.value)


def _noise(seed, size=300_000):
    return np.random.default_rng(seed).bytes(size)


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_a_link(tmp_path, link):
    (tmp_path / "a.svs").write_bytes(_noise(0))
    link(tmp_path / "a.svs", tmp_path / "b.svs")
    assert f"s1 ({tmp_path}/b.svs) are one, by a link; keep one row" in _refused(tmp_path / "a.svs", tmp_path / "b.svs")


def test_a_link_of_the_folder(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x/a.svs").write_bytes(_noise(0))
    (tmp_path / "y").symlink_to("x")
    assert "by a link" in _refused(tmp_path / "x/a.svs", tmp_path / "y/a.svs")


@pytest.mark.parametrize("size", [1, 4096, 300_000])
def test_a_copy(tmp_path, size):
    for name in ("a.svs", "b.tif"):
        (tmp_path / name).write_bytes(_noise(0, size))
    assert "by content" in _refused(tmp_path / "a.svs", tmp_path / "b.tif")


def test_files_of_equal_size_that_differ_in_one_byte_between_the_pieces_are_two_slides(tmp_path):
    content = bytearray(_noise(0))
    (tmp_path / "a.svs").write_bytes(content)
    content[5000] ^= 1
    (tmp_path / "b.svs").write_bytes(content)
    require_different_slides(_rows(tmp_path / "a.svs", tmp_path / "b.svs"), "slides.csv")


def test_files_that_are_empty_or_not_there_are_no_copies(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.svs").touch()
    paths = [tmp_path / f"{name}.svs" for name in ("a", "b", "c", "d")]
    require_different_slides(_rows(*paths), "slides.csv")


def test_the_first_pair_of_many_is_told(tmp_path):
    for name, seed in zip("abcd", (1, 2, 2, 1), strict=True):
        (tmp_path / f"{name}.svs").write_bytes(_noise(seed))
    assert "d.svs) are one, by content" in _refused(*(tmp_path / f"{name}.svs" for name in "abcd"))


def test_slides_of_mirax_are_known_by_their_folder(tmp_path):
    for name, guid in (("a", b"1"), ("b", b"2"), ("c", b"1")):
        (tmp_path / name).mkdir()
        (tmp_path / f"{name}.mrxs").write_bytes(b"the same picture")
        (tmp_path / name / "Slidedat.ini").write_bytes(b"SLIDE_ID = " + guid)
    require_different_slides(_rows(tmp_path / "a.mrxs", tmp_path / "b.mrxs"), "slides.csv")
    assert "by content" in _refused(tmp_path / "a.mrxs", tmp_path / "c.mrxs")


def test_addresses_of_one_checksum():
    assert "by their sha256" in _refused("https://h/a.svs", "https://g/b.svs", sha256="ab" * 32)
    require_different_slides(_rows("https://h/a.svs", "https://h/b.svs"), "slides.csv")


def test_a_series_of_dicom_by_its_folder_its_files_and_a_copy(tmp_path):
    pytest.importorskip("pydicom", reason="pydicom writes the slide")
    from tests.unit.wsi.dicoms import write_dicom_slide

    pixels = np.full((128, 128, 3), 200, np.uint8)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_dicom_slide(tmp_path / name, pixels, 0.5, tile=64)
    shutil.copytree(tmp_path / "one", tmp_path / "copy")
    first = tmp_path / "one/level_0.dcm"
    require_different_slides(_rows(tmp_path / "one", tmp_path / "two"), "slides.csv")
    require_different_slides(_rows(first, tmp_path / "two/level_0.dcm"), "slides.csv")
    for other in (tmp_path / "one", tmp_path / "one/level_1.dcm", tmp_path / "copy", tmp_path / "copy/level_1.dcm"):
        assert "are one, one DICOM series" in _refused(first, other)
    (tmp_path / "flat").mkdir()  # two slides in one folder
    shutil.copy(first, tmp_path / "flat/a.dcm")
    shutil.copy(tmp_path / "two/level_0.dcm", tmp_path / "flat/b.dcm")
    require_different_slides(_rows(tmp_path / "flat/a.dcm", tmp_path / "flat/b.dcm"), "slides.csv")


def test_it_is_refused_before_anything_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(with_files(tmp_path))
    (tmp_path / "c.svs").unlink()
    (tmp_path / "c.svs").symlink_to("a.svs")
    assert "slides.csv: slides a (a.svs) and c (c.svs) are one, by a link" in refusal({}, cohort())


def test_two_images_of_one_file_are_two_slides(tmp_path):
    for name in ("a.tif", "b.tif"):
        (tmp_path / name).write_bytes(_noise(0))
    a, b = (str(tmp_path / name) for name in ("a.tif", "b.tif"))
    require_different_slides(_rows(f"{a}#1", f"{a}#2"), "slides.csv")
    require_different_slides(_rows(f"{a}#1", f"{b}#2"), "slides.csv")  # copies, but of other images
    assert "are one, by content" in _refused(f"{a}#2", f"{b}#2")
    assert "are one, for a row names no image of the file" in _refused(a, f"{a}#2")
    assert "are one, by content" in _refused(a, f"{b}#2")
    os.link(a, tmp_path / "c.tif")
    assert "are one, by a link" in _refused(f"{a}#1", tmp_path / "c.tif#1")


def test_a_patient_in_two_spellings_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(with_files(tmp_path))
    rows = [
        row._replace(patient_id=name) for row, name in zip(cohort(), ["TCGA-1", "b", "tcga-1", "d", "e"], strict=True)
    ]
    told = refusal({}, rows)
    assert "slides.csv: column patient_id holds 'TCGA-1' and 'tcga-1', which look alike; write it in one way" in told
    assert "rename one where they are two" in told


@pytest.mark.parametrize("name", ["?", "TBD", "-9", "[Discrepancy]"])
def test_a_patient_who_looks_like_a_missing_value_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.chdir(with_files(tmp_path))
    rows = cohort()
    rows[1], rows[3] = (rows[place]._replace(patient_id=name) for place in (1, 3))
    told = refusal({"cohort": {"manifest": "slides.csv"}}, rows)
    assert f"slides.csv: patient_id is {name!r} (slides b, d), which looks like a missing value" in told


def test_a_patient_of_number_999_is_one(tmp_path, monkeypatch):
    monkeypatch.chdir(with_files(tmp_path))
    rows = [row._replace(patient_id=f"{995 + place}") for place, row in enumerate(cohort())]
    assert "looks like" not in refusal({"features": {"model": "no"}}, rows)
