import colorsys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from workflow_scripts.config import Tissue
from workflow_scripts.config.base import names_in
from workflow_scripts.core.status import SlideError
from workflow_scripts.tissue.method_optical_density import FULL_SCALE, optical_density
from workflow_scripts.tissue.method_saturation import saturation
from workflow_scripts.tissue.segment import find_method, refuse_dark_background, segment
from workflow_scripts.tissue.shapes import close_mask, drop_small, fill_small_holes
from workflow_scripts.wsi.pixels import read_overview
from workflow_scripts.wsi.slide import open_slide

GLASS, PINK = (243, 243, 244), (200, 120, 180)
METHODS = names_in("tissue", "method_")
PLAIN = Tissue(closing_um=0, min_area_um2=0, min_hole_um2=0)


def _disc(size_px, um_per_px, radius_um, centre_um):
    at = (np.arange(size_px) + 0.5) * um_per_px
    return (at[:, None] - centre_um[1]) ** 2 + (at[None, :] - centre_um[0]) ** 2 <= radius_um**2


def _slide(mask, noise=0, seed=0):
    rgb = np.where(mask[:, :, None], np.array(PINK), np.array(GLASS)).astype(float)
    rgb += np.random.default_rng(seed).normal(0, noise, rgb.shape) if noise else 0
    return np.clip(rgb, 0, 255).astype(np.uint8)


def test_scores_against_their_definitions():
    rgb = np.random.default_rng(0).integers(0, 256, (12, 9, 3), dtype=np.uint8)
    hsv = np.array([[colorsys.rgb_to_hsv(*(pixel / 255))[1] for pixel in row] for row in rgb])
    assert np.abs(saturation(rgb) / 255 - hsv).max() <= 0.5 / 255 + 1e-6
    density = np.log10(256 / (rgb.astype(float) + 1)).mean(axis=2)
    assert np.abs(optical_density(rgb) / 255 * FULL_SCALE - density).max() <= 0.5 * FULL_SCALE / 255 + 1e-6


@pytest.mark.parametrize("name", METHODS)
def test_every_method_of_the_configuration_scores_colours(name):
    assert Tissue(method=name).method == name
    method, rgb = find_method(name, 8.0), _slide(np.zeros((6, 8), bool), noise=3)
    assert method.FULL_SCALE > 0
    for width_px in (0.0, 3.0):
        found = method.score(rgb, width_px)
        assert (found.shape, found.dtype) == ((6, 8), np.uint8)


@pytest.mark.parametrize("um_per_px", [2.0, 4.0, 8.0])
@pytest.mark.parametrize("method", METHODS)
def test_area_of_a_disc_in_um2(um_per_px, method):
    disc = _disc(round(4000 / um_per_px), um_per_px, 900, (1900, 2100))
    mask, _ = segment(_slide(disc, noise=3), um_per_px, Tissue(method=method))
    # CLAM's fixed threshold and its median of noise count half-covered pixels of the rim in.
    assert mask.sum() * um_per_px**2 == pytest.approx(np.pi * 900**2, rel=0.02 if method == "clam" else 0.01)


@pytest.mark.parametrize("um_per_px", [2.0, 4.0, 8.0])
def test_small_pieces_and_holes_are_judged_in_um2(um_per_px):
    size = round(6000 / um_per_px)
    big = _disc(size, um_per_px, 1500, (2000, 2000))
    big_hole, small_hole = _disc(size, um_per_px, 250, (1500, 2000)), _disc(size, um_per_px, 90, (2500, 2000))
    big_piece, small_piece = _disc(size, um_per_px, 200, (5000, 1000)), _disc(size, um_per_px, 90, (5000, 3000))
    rgb = _slide((big & ~big_hole & ~small_hole) | big_piece | small_piece)
    mask, _ = segment(rgb, um_per_px, Tissue(closing_um=0))
    expected = np.pi * (1500**2 - 250**2 + 200**2)
    assert mask.sum() * um_per_px**2 == pytest.approx(expected, rel=0.01)


def test_area_limits_are_sharp():
    mask = np.zeros((40, 40), bool)
    mask[2:7, 2:7] = True  # 25 px
    mask[20:26, 20:24] = True  # 24 px
    assert drop_small(mask, 25).sum() == 25 and drop_small(mask, 24).sum() == 49
    assert fill_small_holes(~mask, 25).sum() == 1600 - 25 and fill_small_holes(~mask, 26).all()


def test_glass_at_the_border_is_no_hole():
    mask = np.ones((20, 20), bool)
    mask[:3, 5:8] = False
    np.testing.assert_array_equal(fill_small_holes(mask, 1000), mask)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(1, 5))
def test_closing_equals_dilation_and_erosion_by_a_disc(seed, radius):
    mask = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(30, 34)), 1) > 0.25
    r = int(np.floor(radius))
    y, x = np.mgrid[-r : r + 1, -r : r + 1]
    expected = ndimage.binary_closing(np.pad(mask, 12), x**2 + y**2 <= radius**2)[12:-12, 12:-12]
    np.testing.assert_array_equal(close_mask(mask, radius), expected)


def test_clean_glass_gives_no_tissue():
    rng = np.random.default_rng(0)
    rgb = np.clip(np.array(GLASS) + rng.normal(0, 1.5, (200, 200, 3)), 0, 255).astype(np.uint8)
    mask, threshold = segment(rgb, 8.0, Tissue())
    assert not mask.any() and threshold == pytest.approx(0.04)


def test_a_fixed_threshold_is_used_as_given():
    rgb = _slide(_disc(100, 8.0, 250, (400, 400)))
    assert segment(rgb, 8.0, Tissue(threshold=0.2))[0].any()
    assert segment(rgb, 8.0, Tissue(threshold=0.2))[1] == 0.2
    assert not segment(rgb, 8.0, Tissue(threshold=0.5))[0].any()  # PINK has saturation 0.4


def test_black_padding_is_no_tissue():
    rgb = np.full((200, 200, 3), 243, np.uint8)
    rgb[:80] = (3, 0, 1)
    rgb[120:160, 60:140] = PINK
    assert segment(rgb, 8.0, PLAIN)[0].sum() == pytest.approx(40 * 80, rel=0.01)


def test_fluorescence_is_told_apart(data):
    rgb = np.zeros((100, 100, 3), np.uint8)
    rgb[40:60, 40:60, 0] = 255
    with pytest.raises(SlideError) as caught:
        refuse_dark_background(rgb.reshape(-1, 3))
    assert caught.value.reason == "not_brightfield"
    with open_slide(data / "slides" / "test3-TRITC-2-560.ndpi") as slide:
        overview, _ = read_overview(slide, 113, 139)
    with pytest.raises(SlideError):
        refuse_dark_background(overview.reshape(-1, 3))


@pytest.mark.parametrize("method", ["saturation", "optical_density"])
def test_what_was_not_read_has_no_part_in_the_threshold(method):
    rgb = _slide(_disc(200, 8.0, 400, (800, 800)), noise=2)
    lost = rgb.copy()
    lost[:50] = (20, 160, 40)
    read_ok = np.ones((200, 200), bool)
    read_ok[:50] = False
    threshold = segment(lost, 8.0, Tissue(method=method), read_ok=read_ok)[1]
    assert threshold == pytest.approx(segment(rgb[50:], 8.0, Tissue(method=method))[1], abs=0.02)
    assert abs(segment(lost, 8.0, Tissue(method=method))[1] - threshold) > 0.05
