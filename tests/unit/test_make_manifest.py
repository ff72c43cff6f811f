import pytest

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.manifest import read_manifest
from workflow_scripts.make_manifest import main


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
    assert set(rows) == {"a", "a_2", "b_one_2_", barcode[:-4], "m", "1", "v"}
    assert rows[barcode[:-4]].patient_id == "TCGA-A1-A0SB" and rows["a"].patient_id == "a"
    assert rows["b_one_2_"].path.endswith("b one, (2).OME.TIF") and rows["a"].mpp is None


def test_ids_stay_unique_beside_numbered_names(tmp_path):
    folder = tmp_path / "in"
    _touch(folder, "x/a.svs", "y/a.svs", "z/a_2.svs", "w/a.svs")
    assert set(_make(folder, tmp_path)) == {"a", "a_2", "a_3", "a_4"}


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
    with pytest.raises(UserError, match="no folder"):
        _make(tmp_path / "nowhere", tmp_path)
