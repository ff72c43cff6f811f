from pathlib import Path

import numpy as np
import openslide
import pytest
from PIL import Image
from scipy import ndimage

from workflow_scripts import make_demo_slide
from workflow_scripts.core.errors import UserError
from workflow_scripts.demo.plan import CLASSES, cohort_plan
from workflow_scripts.demo.slide import find_plan, make_slide, save_truth

SIZE = (2600, 2400)  # px at 0.5 um/px, about a quarter of an ordinary slide


def planned(seed=7, **facts):
    """First slide of the cohort with these facts, made smaller."""
    facts = {"kind": "normal", "mpp_in_file": True, **facts}
    plan = next(p for p in cohort_plan(seed) if all(getattr(p, key) == value for key, value in facts.items()))
    return plan._replace(size_px=min(SIZE, plan.size_px))


@pytest.fixture(scope="module", params=[("svs", 0.5), ("svs", 0.25), ("tiff", 0.5), ("tiff", 0.25)])
def made(request, tmp_path_factory):
    plan = planned(suffix=request.param[0], mpp=request.param[1])
    path = tmp_path_factory.mktemp("slides") / f"{plan.slide_id}.{plan.suffix}"
    return plan, path, make_slide(plan, 7, path)


def test_openslide_reads_format_scale_and_levels(made):
    plan, path, _ = made
    factor = round(0.5 / plan.mpp)
    with openslide.OpenSlide(path) as slide:
        assert slide.properties["openslide.vendor"] == {"svs": "aperio", "tiff": "generic-tiff"}[plan.suffix]
        assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(plan.mpp, rel=1e-4)
        assert float(slide.properties["openslide.mpp-y"]) == pytest.approx(plan.mpp, rel=1e-4)
        assert slide.dimensions == (SIZE[0] * factor, SIZE[1] * factor)
        assert slide.level_count >= 2
        assert slide.level_downsamples == pytest.approx([4**i for i in range(slide.level_count)], rel=0.01)
        if plan.suffix == "svs":
            assert slide.properties["openslide.objective-power"] == {0.5: "20", 0.25: "40"}[plan.mpp]
            assert "thumbnail" in slide.associated_images


def test_levels_show_the_same_image(made):
    _, path, _ = made
    with openslide.OpenSlide(path) as slide:
        width, height = slide.level_dimensions[1]
        small = np.asarray(slide.read_region((0, 0), 1, (width, height)).convert("RGB"), dtype=float)
        whole = slide.read_region((0, 0), 0, (width * 4, height * 4)).convert("RGB")
    reduced = np.asarray(whole.resize((width, height), Image.Resampling.BOX), dtype=float)
    apart = np.abs(reduced - small).mean()  # what is left is the loss of JPEG
    assert apart < 6
    for axis in (0, 1):
        assert apart < 0.5 * np.abs(np.roll(reduced, 1, axis) - small).mean()


def test_truth_agrees_with_the_pixels(made):
    plan, path, truth = made
    with openslide.OpenSlide(path) as slide:
        image = slide.read_region((0, 0), 0, slide.dimensions).convert("RGB")
    height, width = truth.map.shape
    assert (width, height) == (-(-SIZE[0] // 16), -(-SIZE[1] // 16))
    box = (0, 0, width * 8 / plan.mpp, height * 8 / plan.mpp)
    padded = image.crop(tuple(map(round, box)))
    rgb = np.asarray(padded.resize((width, height), Image.Resampling.BOX), dtype=float)
    saturation = 1 - rgb.min(axis=2) / rgb.max(axis=2).clip(1)
    found = ndimage.binary_closing(np.pad(saturation > 0.05, 8), iterations=4)
    found = ndimage.binary_fill_holes(found)[8:-8, 8:-8]
    tissue = truth.map > 0
    assert (found & tissue).sum() / (found | tissue).sum() > 0.95
    glass = ~ndimage.binary_dilation(tissue, iterations=3)
    glass[-1], glass[:, -1] = False, False  # the last cells reach beyond the image
    assert rgb[glass].min() > 220


def test_composition_is_that_of_the_map(made, tmp_path):
    _, _, truth = made
    save_truth(tmp_path / "truth.npz", truth)
    saved = np.load(tmp_path / "truth.npz")
    assert tuple(saved["classes"]) == CLASSES
    assert saved["map"].dtype == np.uint8
    assert float(saved["um_per_px"]) == 8.0
    share = [(saved["map"] == k).sum() / (saved["map"] > 0).sum() for k in range(1, len(CLASSES))]
    assert saved["composition"] == pytest.approx(share)


def test_same_seed_gives_the_same_bytes(made, tmp_path):
    plan, path, _ = made
    make_slide(plan, 7, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == path.read_bytes()
    make_slide(plan, 8, tmp_path / "other")
    assert (tmp_path / "other").read_bytes() != path.read_bytes()


def test_slide_without_scale(tmp_path):
    plan = planned(mpp_in_file=False)
    make_slide(plan, 7, tmp_path / "slide.svs")
    with openslide.OpenSlide(tmp_path / "slide.svs") as slide:
        assert slide.properties["openslide.vendor"] == "aperio"
        assert "openslide.mpp-x" not in slide.properties


def test_truncated_slide_cannot_be_opened(tmp_path):
    truth = make_slide(planned(kind="truncated"), 7, tmp_path / "slide.svs")
    assert (tmp_path / "slide.svs").stat().st_size > 100_000
    assert truth.map.any()
    with pytest.raises(openslide.OpenSlideError):
        openslide.OpenSlide(tmp_path / "slide.svs")


def test_blank_slide_is_glass_with_faint_noise(tmp_path):
    truth = make_slide(planned(kind="blank"), 7, tmp_path / "slide.tiff")
    assert not truth.map.any()
    assert truth.composition.tolist() == [0] * 6
    with openslide.OpenSlide(tmp_path / "slide.tiff") as slide:
        rgb = np.asarray(slide.read_region((0, 0), 0, (800, 800)).convert("RGB"), dtype=float)
    assert rgb.min() > 220
    assert 0.3 < rgb.std(axis=(0, 1)).mean() < 3


def test_command_makes_the_small_slide_and_its_truth(tmp_path):
    plan = find_plan(7, "demo_29")
    assert plan.kind == "small"
    output, truth = tmp_path / "demo_29.svs", tmp_path / "truth" / "demo_29.npz"
    options = ["--config", '{"seed": 7}', "--slide", "demo_29", "--output", str(output), "--truth", str(truth)]
    make_demo_slide.main(options)
    with openslide.OpenSlide(output) as slide:
        assert slide.dimensions == (600, 500)
    assert 0.6 < (np.load(truth)["map"] > 0).mean() < 0.9
    assert sorted(p.name for p in Path(tmp_path).iterdir()) == ["demo_29.svs", "truth"]


def test_unknown_slide_is_told_in_one_sentence():
    with pytest.raises(UserError, match="demo_99"):
        find_plan(7, "demo_99")
