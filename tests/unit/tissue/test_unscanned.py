"""Dark frames that were never scanned: no tissue, no ink; dark tissue stays."""

import io

import numpy as np
import pytest
from PIL import Image

from workflow_scripts.config import Tissue
from workflow_scripts.core.overview import Overview
from workflow_scripts.core.status import SlideError
from workflow_scripts.tissue.outline import find_outline
from workflow_scripts.tissue.unscanned import find_unscanned

HEIGHT, WIDTH, UM = 360, 540, 8.0


def _slide():
    """Glass with a disc of pink tissue, uint8 `[h, w, 3]`, and its mask."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    mask = (rows - 180) ** 2 + (columns - 350) ** 2 < 120**2
    rgb = np.where(mask[..., None], (205, 130, 175), (243, 241, 243)) + rng.normal(0, 4, (HEIGHT, WIDTH, 3))
    return np.clip(rgb, 0, 255).astype(np.uint8), mask


def _jpeg(rgb):
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=80)
    return np.array(Image.open(buffer))


def _outline(rgb, **settings):
    view = Overview(rgb, np.ones(rgb.shape[:2], bool), UM)
    return find_outline(view, [], rgb.shape[1] * 16, rgb.shape[0] * 16, Tissue(**settings))


FRAMES = {
    "a_third": np.s_[:, :180],
    "a_corner": np.s_[:150, :200],
    "a_strip_below": np.s_[330:, :],
    "a_gap_inside": np.s_[40:320, 20:180],
}


@pytest.mark.parametrize("method", ["saturation", "optical_density", "clam"])
@pytest.mark.parametrize("tint", [(0, 0, 0), (0, 2, 6), (6, 2, 0)])
@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize(("low", "high"), [(0, 4), (20, 38), (44, 52)])
def test_a_dark_frame_is_neither_tissue_nor_ink(frame, low, high, tint, method):
    rgb, mask = _slide()
    where = np.zeros(mask.shape, bool)
    where[FRAMES[frame]] = True
    grey = np.random.default_rng(1).integers(low, high + 1, mask.shape)[..., None] + np.array(tint)
    found = _outline(_jpeg(np.where(where[..., None], grey, rgb).astype(np.uint8)), method=method)
    clean = _outline(_jpeg(rgb), method=method).mask & ~where
    both = (found.mask & clean).sum() / (found.mask | clean).sum()
    assert both > 0.98 and found.pen_fraction < 0.01


def test_dark_tissue_and_ink_are_no_frame():
    rgb, _ = _slide()
    rgb[100:200, :60] = (52, 36, 26)  # melanin at the slide's edge
    rgb[20:60, 200:300] = (70, 20, 60)  # haematoxylin in mass
    rgb[150:210, 330:360] = (40, 40, 42)  # carbon inside the tissue
    rgb[: HEIGHT // 2, 470:500] = (38, 36, 40)  # a stroke of a marker that comes in from the edge
    assert not find_unscanned(rgb, UM).any()


def test_fluorescence_is_refused_before_its_ground_is_taken_for_a_frame():
    rgb = np.full((HEIGHT, WIDTH, 3), 12, np.uint8)
    rgb[100:250, 200:400] = (20, 160, 30)
    with pytest.raises(SlideError) as caught:
        _outline(rgb)
    assert caught.value.reason == "not_brightfield"
