"""CLAM's recipe and presets against their definition."""

import numpy as np
import pytest
from scipy import ndimage

from workflow_scripts.config import Tissue, load_config
from workflow_scripts.core.errors import UserError
from workflow_scripts.tissue.method_clam import score
from workflow_scripts.tissue.method_saturation import saturation
from workflow_scripts.tissue.segment import segment
from workflow_scripts.tissue.shapes import close_mask, keep_largest_holes, open_mask


@pytest.mark.parametrize("width", [0, 1, 3.5, 14, 15])
def test_the_median_is_that_of_scipy(width):
    rgb = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    size = {0: 1, 1: 1, 3.5: 3, 14: 15, 15: 15}[width]
    expected = ndimage.median_filter(saturation(rgb), size=size, mode="nearest")
    np.testing.assert_array_equal(score(rgb, width), expected)


def test_presets_in_physical_units():
    tcga = Tissue(method="clam", preset="tcga")
    # At 40x (0.25 um/px) 64 px are 16 um and 512 px 128 um: sthresh 8, mthresh 7, close 4, a_t 16, a_h 4, 8 holes.
    assert tcga.threshold == 8 / 255 and tcga.max_holes == 8
    assert (tcga.smooth_um, tcga.closing_um) == (7 * 16, 4 * 16 / 2)
    assert (tcga.min_area_um2, tcga.min_hole_um2) == (16 * 128**2, 4 * 128**2)
    assert Tissue(method="clam", preset="generic").min_area_um2 == 100 * 128**2
    biopsy = Tissue(method="clam", preset="bwh_biopsy", min_area_um2=7)  # a preset wins
    assert (biopsy.threshold, biopsy.min_area_um2, biopsy.max_holes) == (15 / 255, 128**2, 2)
    assert Tissue.model_validate_json(tcga.model_dump_json()) == tcga
    assert Tissue(method="clam").threshold == "otsu"
    for preset in ("tcga", "best"):
        with pytest.raises(UserError, match=r"tissue.*preset"):
            load_config({"tissue": {"preset": preset}})


def test_eight_is_glass_and_nine_is_tissue():
    # Saturation 8/255 and 9/255, each over half of the slide: CLAM's threshold is exceeded by 9 alone.
    rgb = np.full((100, 100, 3), 255, np.uint8)
    rgb[:, :50, 1:], rgb[:, 50:, 1:] = 247, 246
    mask, threshold = segment(rgb, 16.0, Tissue(method="clam", preset="tcga"))
    assert threshold == 8 / 255
    assert not mask[:, :46].any() and mask[:, 54:].all()


def test_the_largest_holes_of_each_piece_are_kept():
    mask = np.zeros((40, 60), bool)
    mask[2:38, 2:28] = mask[2:38, 32:58] = True
    holes = [(4, 4, 2), (10, 4, 4), (20, 10, 5), (4, 34, 3), (20, 40, 1)]
    for y, x, size in holes:
        mask[y : y + size, x : x + size] = False
    kept = keep_largest_holes(mask, 1)
    assert (kept & ~mask).sum() == 2**2 + 4**2 + 1 and not kept[20:25, 10:15].any() and not kept[4:7, 34:37].any()
    np.testing.assert_array_equal(keep_largest_holes(mask, 5), mask)
    assert keep_largest_holes(mask, 0).sum() == 2 * 36 * 26


def test_opening_is_closing_of_the_rest():
    mask = ndimage.gaussian_filter(np.random.default_rng(3).normal(size=(40, 44)), 1.5) > 0
    np.testing.assert_array_equal(open_mask(mask, 3)[6:-6, 6:-6], ~close_mask(~mask, 3)[6:-6, 6:-6])
