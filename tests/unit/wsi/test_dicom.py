import numpy as np
import pytest

from tests.unit.wsi.tiffs import texture
from workflow_scripts.config import Slides
from workflow_scripts.core.status import SlideError
from workflow_scripts.wsi.scale import resolve_scale
from workflow_scripts.wsi.slide import open_slide

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
