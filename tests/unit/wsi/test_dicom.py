import numpy as np
import pytest

from tests.unit.wsi.tiffs import texture
from workflow_scripts.config import Slides
from workflow_scripts.core.status import SlideError
from workflow_scripts.wsi.scale import resolve_scale
from workflow_scripts.wsi.slide import open_slide
from workflow_scripts.wsi.slide_files import OTHER_DICOM, find_slides

pytest.importorskip("pydicom", reason="pydicom writes the slide")


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    from tests.unit.wsi.dicoms import write_dicom_slide

    folder = tmp_path_factory.mktemp("dicom")
    return folder, write_dicom_slide(folder, texture(900, 700), 0.25)


@pytest.mark.parametrize("which", ["level_0.dcm", "level_1.dcm", ""])
def test_a_series_opens_by_its_folder_or_by_any_of_its_files(series, which):
    folder, levels = series
    with open_slide(folder / which) as slide:
        assert (slide.vendor, slide.width, slide.height) == ("dicom", 900, 700)
        assert slide.level_downsamples == [1, 2]
        scale = resolve_scale(slide.properties, None, Slides())
        assert scale.mpp_x == pytest.approx(0.25) and scale.source == "vendor"
        native, half = slide.read(100, 200, 300, 400, 300, 400), slide.read(100, 200, 300, 400, 150, 200)
    np.testing.assert_array_equal(native, levels[0][200:600, 100:400])
    np.testing.assert_array_equal(half, levels[1][100:300, 50:200])


def test_a_folder_without_a_series_says_so(tmp_path):
    with pytest.raises(SlideError) as caught:
        open_slide(tmp_path)
    assert caught.value.reason == "missing_file" and "folder" in caught.value.detail


def _series_in(folder, seed, **names):
    """A series in a folder, its files by other names."""
    from tests.unit.wsi.dicoms import write_dicom_slide

    made = folder / "made"
    made.mkdir(parents=True)
    levels = write_dicom_slide(made, texture(300, 260, seed), 0.5, tile=64)
    for old, new in names.items():
        (made / f"{old}.dcm").rename(folder / new)
    made.rmdir()
    return levels


def test_a_folder_whose_files_have_no_ending_or_another_file_first(tmp_path):
    levels = _series_in(tmp_path / "plain", 0, level_0="IM0002", level_1="IM0001")
    (tmp_path / "plain/0.dcm").write_bytes(b"no DICOM")
    (tmp_path / "plain/notes.txt").write_text("x")
    with open_slide(tmp_path / "plain") as slide:
        np.testing.assert_array_equal(slide.read(0, 0, 300, 260, 300, 260), levels[0])


def test_a_folder_of_several_slides_is_refused_with_a_file_of_each(tmp_path):
    levels = _series_in(tmp_path, 0, level_0="a0.dcm", level_1="a1.dcm")
    _series_in(tmp_path, 1, level_0="b0.dcm", level_1="b1.dcm")
    with pytest.raises(SlideError) as caught:
        open_slide(tmp_path)
    assert caught.value.reason == "unreadable_file"
    assert "holds 2 DICOM slides; name a file of each in column path: a0.dcm, b0.dcm" in caught.value.detail
    with open_slide(tmp_path / "a1.dcm") as slide:
        np.testing.assert_array_equal(slide.read(0, 0, 300, 260, 300, 260), levels[0])


def test_a_label_in_a_series_of_its_own_is_no_second_slide(tmp_path):
    import pydicom

    levels = _series_in(tmp_path, 0, level_0="b0.dcm", level_1="b1.dcm")
    _series_in(tmp_path, 1, level_0="a0.dcm", level_1="a1.dcm")
    for name in ("a0.dcm", "a1.dcm"):
        data = pydicom.dcmread(tmp_path / name)
        data.ImageType = ["ORIGINAL", "PRIMARY", "LABEL", "NONE"]
        data.save_as(tmp_path / name)
    with open_slide(tmp_path) as slide:
        np.testing.assert_array_equal(slide.read(0, 0, 300, 260, 300, 260), levels[0])
    found = find_slides(tmp_path)
    assert [path.name for path in found.slides] == ["b0.dcm"] and list(found.left_out) == [OTHER_DICOM]
