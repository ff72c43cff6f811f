"""The mask against what is known of the slides: true classes, and the same slide stored in other ways."""

import numpy as np
import pytest
import pyvips

from workflow_scripts.config import Tissue
from workflow_scripts.demo.plan import cohort_plan
from workflow_scripts.demo.slide import make_slide
from workflow_scripts.tissue.outline import find_outline
from workflow_scripts.wsi.overview import read_at_scale
from workflow_scripts.wsi.slide import open_slide

THRESHOLDS = ["saturation", "optical_density"]
SLIDES = {
    "CMU-1": ("slides/CMU-1-Small-Region.svs", 0.499),
    "composed": ("composed/ln_c16_cc0/ln_03.tiff", 0.243),
    "tcga": ("slides/tcga-cr-7395-01a-01-ts1.svs", 0.25),
}


def _mask(path, mpp, settings):
    """Mask of a slide and the position of its pixels' centres in um, as `segment_tissue` finds it."""
    with open_slide(path) as slide:
        view = read_at_scale(slide, mpp, mpp, settings.mpp)
        mask = find_outline(view, [], slide.width, slide.height, settings).mask
        y = (np.arange(mask.shape[0]) + 0.5) / mask.shape[0] * slide.height * mpp
        x = (np.arange(mask.shape[1]) + 0.5) / mask.shape[1] * slide.width * mpp
    return mask, y, x


def _iou(a, b):
    return (a & b).sum() / (a | b).sum()


@pytest.mark.parametrize("method", THRESHOLDS)
def test_composed_slides_against_the_cells_of_their_class_maps(data, method):
    scores = {}
    for path in sorted((data / "composed" / "ln_c16_cc0").glob("ln_*.[st]*")):
        mask, y, x = _mask(path, 0.243, Tissue(method=method))
        with np.load(path.with_name(f"{path.stem}_classmap.npz")) as truth:
            cell, margin = int(truth["patch"]), int(truth["margin"])
            cells = np.pad(truth["cls"] >= 0, margin // cell)
        at = [(um / 0.243 // cell).astype(int) for um in (y, x)]
        scores[path.stem] = _iou(mask, cells[np.ix_(*at)])
    print(method, {name: round(float(score), 4) for name, score in scores.items()}, np.mean(list(scores.values())))
    assert len(scores) == 8 and min(scores.values()) >= 0.95 and np.mean(list(scores.values())) >= 0.97


# Slides of the demo with the most fat, the small one, and one of each kind of file; 0.25 um/px is slow to write.
DEMO = ["demo_03", "demo_07", "demo_10", "demo_29"]


def test_demo_slides_against_their_own_truth(tmp_path):
    plans = {plan.slide_id: plan for plan in cohort_plan(7)}
    scores = {method: [] for method in THRESHOLDS}
    for slide_id in DEMO:
        plan = plans[slide_id]
        truth = make_slide(plan, 7, tmp_path / f"demo.{plan.suffix}").map > 0
        for method in THRESHOLDS:
            settings = Tissue(method=method, min_area_um2=20000, min_hole_um2=20000)  # as in config/config.yaml
            mask, y, x = _mask(tmp_path / f"demo.{plan.suffix}", plan.mpp, settings)
            scores[method].append(_iou(mask, truth[np.ix_((y // 8).astype(int), (x // 8).astype(int))]))
    print({method: np.round(found, 4) for method, found in scores.items()})
    for found in scores.values():
        assert min(found) >= 0.95 and np.mean(found) >= 0.97


def _tiff(pixels, path, levels=(), **options):
    """A tiled TIFF of libvips: `levels` pages more, each the block mean of level 0 by that factor."""
    import tifffile

    with tifffile.TiffWriter(path) as file:
        for factor in (1, *levels):
            page = pyvips.Image.new_from_array(pixels).shrink(factor, factor).numpy()
            subfile = 0 if factor == 1 else 1
            file.write(page, tile=(256, 256), photometric="rgb", subfiletype=subfile, metadata=None, **options)


def _stored(kind, pixels, path):
    """The slide `pixels` written in another way; returns the factor by which its um/px changes."""
    image = pyvips.Image.new_from_array(pixels)
    if kind.startswith("quality"):
        image.tiffsave(str(path), tile=True, pyramid=True, compression="jpeg", Q=int(kind.removeprefix("quality_")))
    elif kind == "no_levels":
        image.tiffsave(str(path), tile=True, compression="deflate")
    elif kind == "levels_by_2":
        image.tiffsave(str(path), tile=True, pyramid=True, compression="deflate")
    elif kind == "levels_by_4":
        _tiff(pixels, path, (4, 16), compression="deflate")
    else:
        factor = {"half_as_fine": 0.5, "twice_as_fine": 2.0}[kind]
        image.resize(factor).tiffsave(str(path), tile=True, pyramid=True, compression="jpeg", Q=85)
        return 1 / factor
    return 1.0


KINDS = [*(f"quality_{q}" for q in (60, 70, 80, 95)), "no_levels", "levels_by_2", "levels_by_4"]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name == "tcga")) for name in sorted(SLIDES)]
)
def test_the_mask_does_not_depend_on_how_the_slide_is_stored(data, tmp_path, name):
    path, mpp = data / SLIDES[name][0], SLIDES[name][1]
    with open_slide(path) as slide:
        pixels = slide.read(0, 0, slide.width, slide.height, slide.width, slide.height)
    expected = {method: _mask(path, mpp, Tissue(method=method)) for method in THRESHOLDS}
    scores = {method: {} for method in THRESHOLDS}
    for kind in (*KINDS, "twice_as_fine" if mpp > 0.4 else "half_as_fine"):
        factor = _stored(kind, pixels, tmp_path / f"{kind}.tif")
        for method, (truth, rows, cols) in expected.items():
            mask, y, x = _mask(tmp_path / f"{kind}.tif", mpp * factor, Tissue(method=method))
            if mask.shape != truth.shape:  # halving 3567 px gives 1784 px, and one row more
                mask = mask[np.ix_(*(np.abs(a[:, None] - b).argmin(axis=1) for a, b in ((rows, y), (cols, x))))]
            scores[method][kind] = float(_iou(mask, truth))
    for method, found in scores.items():
        print(name, method, {kind: round(score, 4) for kind, score in found.items()})
        assert min(found.values()) >= 0.98
