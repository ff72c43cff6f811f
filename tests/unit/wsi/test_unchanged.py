"""A slide's file that changes or goes between its check and the work on it, and during that."""

import numpy as np
import pytest
from PIL import Image

from workflow_scripts.core.status import SlideError
from workflow_scripts.wsi.region_reader import region_reader
from workflow_scripts.wsi.unchanged import file_bytes, unchanged


@pytest.fixture
def slide(tmp_path):
    Image.fromarray(np.full((64, 64, 3), 200, np.uint8)).save(tmp_path / "s.png")
    return tmp_path / "s.png"


def test_a_slide_that_stays_is_worked_on(slide, tmp_path):
    with unchanged(slide, file_bytes(slide)):
        pass
    with unchanged(tmp_path, file_bytes(tmp_path)):  # a folder of DICOM files
        pass
    with unchanged(slide, None):
        slide.unlink()
    with pytest.raises(ZeroDivisionError), unchanged(slide, None):
        raise ZeroDivisionError  # a decoder's own error


@pytest.mark.parametrize("when", ["before", "meanwhile", "meanwhile, and a decoder fails"])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda slide: slide.write_bytes(b"12345"), "has changed since it was checked ({0} bytes then, 5 now); wait"),
        (lambda slide: slide.unlink(), "is gone since it was checked; put it back, `touch` it, and run"),
    ],
)
def test_one_that_changes_or_goes_is_excluded_for_that(slide, when, change, words):
    checked = file_bytes(slide)
    if when == "before":
        change(slide)
    with pytest.raises(SlideError) as caught, unchanged(slide, checked):
        change(slide) if when != "before" else pytest.fail("worked on all the same")
        if "decoder" in when:
            raise ZeroDivisionError
    assert caught.value.reason == "changed_file"
    assert caught.value.detail.startswith(f"{slide} {words.format(checked)}")


def test_a_slide_that_changes_between_two_regions(slide):
    with region_reader("s", str(slide), 2, 32, file_bytes(slide)) as read:
        assert read(0, 0, 64, 64).rgb[0, 0, 0] == 200
        slide.write_bytes(slide.read_bytes() + b"more")
        with pytest.raises(SlideError) as caught:
            read(0, 0, 64, 64)
    assert caught.value.reason == "changed_file" and caught.value.detail.startswith(f"{slide} has changed")
