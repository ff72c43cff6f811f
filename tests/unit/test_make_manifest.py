"""A folder's slides as a person would list them, and what is told of the rest."""

import shutil

import numpy as np
import pytest

from workflow_scripts import make_manifest
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.manifest import read_manifest
from workflow_scripts.make_manifest import main
from workflow_scripts.wsi.slide import open_slide


def _make(folder, tmp_path, *more):
    main([str(folder), "--output", str(tmp_path / "slides.csv"), *more])
    return {row.slide_id: row for row in read_manifest(tmp_path / "slides.csv")}


def _touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def test_a_folder_of_many_kinds(tmp_path):
    folder = tmp_path / "in"
    barcode = "TCGA-A1-A0SB-01Z-00-DX1.1234.svs"
    _touch(folder, "a.svs", "deep/er/a.ndpi", "b one, (2).OME.TIF", "notes.txt", ".hidden.svs", ".cache/x.svs", barcode)
    _touch(
        folder, "m.mrxs", "m/Data0001.dat", "m/preview.jpg", "dicom/1.dcm", "dicom/2.dcm", "vms/v.vms", "vms/v-1.jpg"
    )
    rows = _make(folder, tmp_path)
    assert set(rows) == {"a", "er_a", "b_one_2_", barcode[:-4], "m", "dicom", "v"}
    assert rows[barcode[:-4]].patient_id == "TCGA-A1-A0SB" and rows["a"].patient_id == "a"
    assert rows["b_one_2_"].path.endswith("b one, (2).OME.TIF") and rows["a"].mpp is None


def test_slides_of_one_name_are_told_apart_by_their_folders(tmp_path):
    folder = tmp_path / "in"
    _touch(folder, "x/a.svs", "y/a.svs", "z/A.ndpi", "b.svs", "p/q/c.svs", "r/q/c.svs", "c.svs", "d.svs", "d.tif")
    rows = _make(folder, tmp_path)
    assert {name: row.path.removeprefix(f"{folder}/") for name, row in rows.items()} == {
        **{
            "x_a": "x/a.svs",
            "y_a": "y/a.svs",
            "z_A": "z/A.ndpi",
            "b": "b.svs",
            "c": "c.svs",
            "d": "d.svs",
            "d_2": "d.tif",
        },
        **{"p_q_c": "p/q/c.svs", "r_q_c": "r/q/c.svs"},
    }


def test_ids_stay_unique_beside_numbered_names(tmp_path):
    folder = tmp_path / "in"
    _touch(folder, "a.svs", "a.tif", "a.ndpi", "a_2.svs")
    assert set(_make(folder, tmp_path)) == {"a", "a_2", "a_3", "a_4"}


@pytest.fixture
def said(monkeypatch):
    """Lines of the log."""
    lines = []
    monkeypatch.setattr(make_manifest.log, "info", lambda text, *values: lines.append(text % values))
    return lines


def test_ids_that_differ_from_the_names_of_files_are_told(tmp_path, said):
    _touch(tmp_path / "in", "a b (1).svs", "50%.svs", "{b}.svs", "new\nline.svs", "plain.ome.tif", "ok.svs")
    rows = _make(tmp_path / "in", tmp_path)
    assert set(rows) == {"a_b_1_", "50_", "_b_", "new_line", "plain", "ok"}
    assert rows["new_line"].path.endswith("new\nline.svs")
    assert said[0].startswith("4 ids differ from the names of their files: 50_ ('50%.svs'), a_b_1_ ('a b (1).svs'), ")
    assert "new_line ('new\\nline.svs')" in said[0] and said[-1].startswith("6 slides in ")


def test_what_is_no_slide_is_left_out_and_told(tmp_path, said):
    folder = tmp_path / "in"
    _touch(folder, "s1.tif", "s1_mask.tif", "results/out.tif", "masks/s1.png", "thumbnails/s1.jpg", "b/thumb/x.tiff")
    _touch(folder, "a.svs", "a_thumb.jpg", "overview.png", "photo.jpeg", "Macro.TIF", "results/kept.svs", "c_label.svs")
    _touch(folder, "b.vsi", "c.svs.gz", "d.svs.part", "notes.txt", "e.csv")
    assert {row.path.removeprefix(f"{folder}/") for row in _make(folder, tmp_path).values()} == {
        *("s1.tif", "a.svs", "results/kept.svs", "c_label.svs")
    }
    told = sorted(line.removeprefix("left out ") for line in said if line.startswith("left out"))
    assert told == [
        "1 files, pictures beside slides: photo.jpeg",
        "3 files, of formats that are not read, packed or cut off: b.vsi, c.svs.gz, d.svs.part",
        "4 files, in folders that tools write into: b/thumb/x.tiff, masks/s1.png, results/out.tif, thumbnails/s1.jpg",
        "4 files, thumbnails, masks and the like by their names: Macro.TIF, a_thumb.jpg, overview.png, s1_mask.tif",
    ]


def test_pictures_are_slides_where_there_are_no_others(tmp_path):
    _touch(tmp_path / "masks", "a.png", "b.jpg", "b_mask.png")  # the folder's own name says nothing
    assert set(_make(tmp_path / "masks", tmp_path)) == {"a", "b"}


def test_links_that_loop_and_second_names_give_each_slide_once(tmp_path, said):
    folder = tmp_path / "in"
    _touch(folder, "x/a.svs", "z/b.svs")
    _touch(tmp_path, "other/c.svs")
    for link, target in (("loop", "."), ("x/up", ".."), ("a_first", "z"), ("away", "../other"), ("0.svs", "x/a.svs")):
        (folder / link).symlink_to(target)
    (folder / "gone.svs").symlink_to("nowhere.svs")
    paths = {row.path.removeprefix(f"{folder}/") for row in _make(folder, tmp_path).values()}
    assert paths == {"x/a.svs", "z/b.svs", "away/c.svs", "gone.svs"}
    assert "left out 1 files, links to what is listed: 0.svs" in said


def test_series_of_dicom_flat_in_a_folder_and_without_an_ending(tmp_path, said):
    pytest.importorskip("pydicom", reason="pydicom writes the slides")
    from tests.unit.wsi.dicoms import write_dicom_slide

    folder, pixels = tmp_path / "in", np.full((128, 128, 3), 200, np.uint8)
    for name, ending in (("one", ""), ("two", ".dcm"), ("three", "")):
        (tmp_path / "made").mkdir()
        write_dicom_slide(tmp_path / "made", pixels, 0.5, tile=64)
        for level in (0, 1):
            for place in (f"flat/{name}_level{level}{ending}", f"alone_{name}/IM000{level}"):
                (folder / place).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(tmp_path / f"made/level_{level}.dcm", folder / place)
        shutil.rmtree(tmp_path / "made")
    _touch(folder, "flat/README", "flat/LICENSE")
    rows = _make(folder, tmp_path)
    assert set(rows) == {"one", "two", "three", "alone_one", "alone_two", "alone_three"}
    for row in rows.values():
        with open_slide(row.path) as slide:
            assert (slide.width, slide.height, len(slide.level_downsamples)) == (128, 128, 2)
    assert not [line for line in said if line.startswith("left out")]


def test_dicom_that_is_no_slide_is_left_out(tmp_path, said):
    pydicom = pytest.importorskip("pydicom", reason="pydicom writes the file")
    data = pydicom.Dataset()
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = pydicom.uid.CTImageStorage
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = data.SeriesInstanceUID = "1.2.3"
    _touch(tmp_path / "in", "a.svs")
    data.save_as(tmp_path / "in/ct.dcm", enforce_file_format=True)
    assert set(_make(tmp_path / "in", tmp_path)) == {"a"}
    assert "left out 1 files, DICOM files that are no slides: ct.dcm" in said


def test_files_of_dicom_that_tell_no_series_are_told_apart_by_name(tmp_path):
    _touch(tmp_path / "in", "s1_level0.dcm", "s1_level1.dcm", "s2_level0.dcm", "s3.dcm", "two/1.dcm", "two/2.dcm")
    assert set(_make(tmp_path / "in", tmp_path)) == {"s1", "s2", "s3", "two"}


def test_names_of_tcga_and_cptac(tmp_path, said):
    names = [
        "TCGA-AA-3495-01Z-00-DX1.ab",
        "TCGA-AA-3495-11A-01-TS1.cd",
        "tcga-aa-3496-01z",
        "C3L-00001-21",
        "C3N-01234",
    ]
    _touch(tmp_path / "in", *(f"u{number}/{name}.svs" for number, name in enumerate(names)), "logs/x.svs.parcel")
    rows = _make(tmp_path / "in", tmp_path)
    patients = ["TCGA-AA-3495", "TCGA-AA-3495", "TCGA-AA-3496", "C3L-00001", "C3N-01234"]
    assert {name: rows[name].patient_id for name in names} == dict(zip(names, patients, strict=True))
    assert any(line.startswith("1 of 5 slides are frozen sections") for line in said)
    assert any(line.startswith("1 of 5 slides are of normal tissue") for line in said)


def test_the_order_is_stable(tmp_path):
    folder = tmp_path / "in"
    _touch(folder, "c.svs", "a.svs", "b/b.svs")
    assert list(_make(folder, tmp_path)) == ["a", "b", "c"]


def test_nothing_is_written_over_without_force(tmp_path):
    folder = tmp_path / "in"
    _touch(folder, "a.svs")
    _make(folder, tmp_path)
    with pytest.raises(UserError, match="--force"):
        _make(folder, tmp_path)
    assert set(_make(folder, tmp_path, "--force")) == {"a"}


def test_a_folder_without_slides(tmp_path):
    with pytest.raises(UserError, match="holds no slide"):
        _make(tmp_path, tmp_path)
    _touch(tmp_path, "b.vsi", "a_mask.png")
    with pytest.raises(UserError, match=r"names \(a_mask\.png\), 1 of formats that are not read, .* \(b\.vsi\)"):
        _make(tmp_path, tmp_path)
    with pytest.raises(UserError, match="no folder"):
        _make(tmp_path / "nowhere", tmp_path)
