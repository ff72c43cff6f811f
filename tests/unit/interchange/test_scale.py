"""How large a patch truly is, by what is known of it."""

import numpy as np
import pytest

from workflow_scripts.config import Regions, Slides, Source
from workflow_scripts.core.status import SlideError
from workflow_scripts.interchange.patches import SourcePatches
from workflow_scripts.interchange.scale import check_scale, level0_scale, place

ROW = np.array([[0.0, 0.0], [512, 0], [1024, 0], [5120, 1024]])
REGIONS = Regions(mpp=0.5, patch_px=256, grid=4)
UNKNOWN = {"mpp_x": None, "mpp_y": None, "mpp_source": None}


def patches(**known):
    return SourcePatches("a.h5", np.zeros((4, 2), np.float32), ROW, **known)


def test_the_slide_comes_before_the_manifest_before_the_files():
    told = patches(mpp=0.3, magnification=40)
    slide = {"mpp_x": 0.25, "mpp_y": 0.26, "mpp_source": "vendor"}
    assert level0_scale(told, slide, 0.2, Slides()) == (0.25, 0.26, "vendor")
    assert level0_scale(told, UNKNOWN, 0.2, Slides()) == (0.2, 0.2, "manifest")
    assert level0_scale(told, UNKNOWN, [0.2, 0.3], Slides()) == (0.2, 0.3, "manifest")
    assert level0_scale(told, UNKNOWN, None, Slides()) == (0.3, 0.3, "source")


def test_a_magnification_is_a_guess_that_the_config_must_allow():
    told = patches(magnification=40)
    assert level0_scale(told, UNKNOWN, None, Slides()) is None
    assert level0_scale(told, UNKNOWN, None, Slides(mpp_from_objective=True)) == (0.25, 0.25, "objective_guess")


def test_an_implausible_scale_is_refused():
    with pytest.raises(SlideError, match="250 um/px") as caught:
        level0_scale(patches(mpp=250.0), UNKNOWN, None, Slides())
    assert caught.value.reason == "implausible_mpp"


def test_patches_in_px_have_the_size_that_the_slides_scale_gives():
    placed = place(patches(size_px=512.0, size_um=999.0), (0.25, 0.26, "vendor"), Source(), REGIONS)
    assert placed.um == (128, 512 * 0.26)
    assert (placed.size, placed.mpp, placed.mpp_source) == ((512, 512), (0.25, 0.26), "vendor")
    np.testing.assert_array_equal(placed.coords, ROW)


def test_patches_in_px_without_a_scale_take_their_own_or_the_configs():
    placed = place(patches(size_px=512.0, size_um=128.0), None, Source(), REGIONS)
    assert (placed.um, placed.mpp, placed.mpp_source) == ((128, 128), (0.25, 0.25), "source")
    stated = Source(kind="clam", folder="x", mpp=0.5, patch_px=256)
    placed = place(patches(size_px=512.0), None, stated, REGIONS)
    assert (placed.um, placed.mpp, placed.mpp_source) == ((128, 128), (0.25, 0.25), "config")
    with pytest.raises(SlideError, match=r"source\.mpp") as caught:
        place(patches(size_px=512.0), None, Source(), REGIONS)
    assert caught.value.reason == "no_mpp"


def test_a_width_that_is_not_told_is_the_commonest_step():
    placed = place(patches(), (0.25, 0.25, "manifest"), Source(), REGIONS)
    assert (placed.size, placed.um) == ((512, 512), (128, 128))
    alone = SourcePatches("a.h5", np.zeros((2, 2), np.float32), np.array([[0.0, 0], [512, 1]]))
    with pytest.raises(SlideError, match="how wide"):
        place(alone, (0.25, 0.25, "manifest"), Source(), REGIONS)


def test_patches_in_um_are_put_in_px():
    placed = place(patches(unit="um", size_um=256.0), (0.25, 0.5, "vendor"), Source(), REGIONS)
    np.testing.assert_array_equal(placed.coords, ROW * [4, 2])
    assert (placed.size, placed.um) == ((1024, 512), (256, 256))
    placed = place(patches(unit="um", size_um=256.0), None, Source(), REGIONS)
    np.testing.assert_array_equal(placed.coords, ROW * 2)  # px of regions.mpp
    assert (placed.size, placed.mpp_source) == ((512, 512), "none")


@pytest.mark.parametrize(
    ("um", "fits"),
    [((128, 128), True), ((134.3, 122), True), ((134.5, 128), False), ((128, 121.5), False), ((112, 112), False)],
)
def test_more_than_five_percent_is_refused(um, fits):
    if fits:
        check_scale("a.h5", um, REGIONS)
        return
    with pytest.raises(SlideError, match="128 um") as caught:
        check_scale("a.h5", um, REGIONS)
    assert caught.value.reason == "scale_mismatch"


def test_magnification_buckets_are_caught_where_the_true_scale_is_known():
    """0.265 um/px counts as 40x, so a patch of 512 px is 135.7 um and not 128 (TRIDENT issue 119)."""
    placed = place(patches(size_px=512.0, magnification=40.0), (0.265, 0.265, "vendor"), Source(), REGIONS)
    with pytest.raises(SlideError, match=r"135\.7"):
        check_scale("a.h5", placed.um, REGIONS)
