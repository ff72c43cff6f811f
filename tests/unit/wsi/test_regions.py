from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow_scripts.config import Regions, Slides
from workflow_scripts.core.status import SlideError
from workflow_scripts.wsi.regions import (
    TissueArea,
    enlargement_note,
    patch_edges,
    refuse_enlarged,
    region_grid,
    region_rows,
)

DEFAULT = Regions()
SMALL = Regions(grid=4, patch_px=32)


@pytest.mark.parametrize(
    ("mpp", "first_patch", "region"), [(0.25, 512, 8192), (0.265, 483, 7728), (0.499, 257, 4104), (0.5, 256, 4096)]
)
def test_size_of_patches_and_regions(mpp, first_patch, region):
    edges = patch_edges(mpp, DEFAULT)
    assert edges[1] == first_patch == round(256 * 0.5 / mpp)
    assert edges[-1] == region == round(4096 * 0.5 / mpp)
    assert region_grid(50_000, 40_000, mpp, mpp, DEFAULT)[0].size_x == region


@settings(deadline=None)
@given(st.floats(0.05, 5.0), st.integers(2, 64), st.integers(16, 512))
def test_patch_edges_do_not_drift(mpp, grid, patch_px):
    edges = patch_edges(mpp, Regions(grid=grid, patch_px=patch_px))
    exact = np.arange(grid + 1) * patch_px * 0.5 / mpp
    assert np.abs(edges - exact).max() <= 0.5 + 1e-9
    # The region is read as one piece of even patches; they lie within a pixel of these edges.
    assert np.abs(edges - np.arange(grid + 1) * edges[-1] / grid).max() <= 1.0 + 1e-9


@settings(deadline=None)
@given(st.integers(1, 3000), st.integers(1, 3000), st.floats(0.2, 1.1), st.floats(0.2, 1.1))
def test_regions_cover_the_slide_once(width, height, mpp_x, mpp_y):
    places = region_grid(width, height, mpp_x, mpp_y, SMALL)
    for axis, size, length in (("x", "size_x", width), ("y", "size_y", height)):
        starts = sorted({getattr(place, axis) for place in places})
        step = getattr(places[0], size)
        assert starts == [starts[0] + step * i for i in range(len(starts))]  # no gap, no overlap
        assert starts[0] <= 0 and starts[-1] + step >= length
        assert starts[-1] < length and starts[0] + step > 0  # none wholly outside
        if length > step:
            assert starts[0] == 0
        else:
            assert len(starts) == 1 and abs(-starts[0] - (step - length - -starts[0])) <= 1  # centred
    assert len({(p.grid_row, p.grid_col) for p in places}) == len(places)


@settings(deadline=None)
@given(st.integers(1, 3000), st.floats(0.1, 1.0))
def test_overlapping_regions_leave_no_gap(width, stride):
    places = region_grid(width, 100, 0.5, 0.5, Regions(grid=4, patch_px=32, stride_fraction=stride))
    starts = [place.x for place in places]
    assert all(b - a <= 128 for a, b in pairwise(starts))
    assert starts[-1] + 128 >= width and (width <= 128 or starts[-1] < width)
    assert [s for s in starts if s + 128 < width] == starts[:-1] or width <= 128  # the last one only is needed to end


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 9), st.integers(1, 9))
def test_tissue_area_against_counting_pixels(seed, rows, cols):
    rng = np.random.default_rng(seed)
    mask = rng.random((rows, cols)) < 0.5
    width, height = cols * 6, rows * 4
    fine = np.pad(np.kron(mask, np.ones((4, 6))), ((20, 20), (30, 30)))
    x = np.sort(rng.choice(np.arange(-30, width + 30), 4, replace=False))
    y = np.sort(rng.choice(np.arange(-20, height + 20), 3, replace=False))
    cells = TissueArea(mask, width, height).cells(x, y)
    for i in range(2):
        for j in range(3):
            expected = fine[y[i] + 20 : y[i + 1] + 20, x[j] + 30 : x[j + 1] + 30].mean()
            assert cells[i, j] == pytest.approx(expected, abs=1e-9)


def test_rows_of_a_half_covered_slide():
    mask = np.zeros((64, 64), bool)
    mask[:, :32] = True
    rows = region_rows("s", mask, 256, 256, 0.5, 0.5, SMALL)
    assert [(r["region_id"], r["x"], r["y"]) for r in rows] == [("s_r000_c000", 0, 0), ("s_r001_c000", 0, 128)]
    assert all(r["tissue_fraction"] == 1 and (r["patch_tissue"] == 1).all() for r in rows)


def test_the_fraction_counts_the_whole_region_and_its_padding():
    mask = np.ones((10, 10), bool)
    (row,) = region_rows("s", mask, 64, 128, 0.5, 0.5, SMALL)
    assert (row["x"], row["y"]) == (-32, 0) and row["tissue_fraction"] == pytest.approx(0.5)
    assert row["patch_tissue"].reshape(4, 4).tolist() == [[0, 1, 1, 0]] * 4


def test_an_edge_region_is_kept_for_its_tissue():
    mask = np.ones((10, 10), bool)
    rows = region_rows("s", mask, 128 + 32, 128, 0.5, 0.5, SMALL)
    assert [row["tissue_fraction"] for row in rows] == pytest.approx([1.0, 0.25])
    rows = region_rows("s", mask, 128 + 8, 128, 0.5, 0.5, SMALL)
    assert len(rows) == 1


def test_the_best_region_is_kept_where_none_has_enough():
    mask = np.zeros((100, 100), bool)
    mask[60:62, 60:62], mask[10, 10] = True, True
    (row,) = region_rows("s", mask, 400, 400, 0.5, 0.5, SMALL)
    assert (row["grid_row"], row["grid_col"]) == (1, 1)
    assert row["tissue_fraction"] == pytest.approx(64 / 128**2)


def test_no_tissue_no_region():
    none = Regions(grid=4, patch_px=32, min_tissue_fraction=0)
    assert region_rows("s", np.zeros((10, 10), bool), 400, 400, 0.5, 0.5, none) == []


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.2, 1.1))
def test_no_tissue_is_lost_between_regions(seed, mpp):
    rng = np.random.default_rng(seed)
    mask = rng.random((20, 30)) < 0.3
    width, height = int(rng.integers(50, 900)), int(rng.integers(50, 900))
    rows = region_rows("s", mask, width, height, mpp, mpp, Regions(grid=4, patch_px=32, min_tissue_fraction=0))
    area = sum(row["tissue_fraction"] * row["size_x"] * row["size_y"] for row in rows)
    assert area == pytest.approx(mask.mean() * width * height, rel=1e-6)


def _two_squares():
    mask = np.zeros((2000, 1800), bool)
    mask[300:900, 200:700], mask[1200:1300, 1000:1700] = True, True
    return mask, 51234, 57001


def test_glass_holds_no_tissue_at_all_and_tissue_is_counted_exactly():
    mask, width, height = _two_squares()
    px_x, px_y = width / 1800, height / 2000
    boxes = [(200, 300, 700, 900), (1000, 1200, 1700, 1300)]
    plan = Regions(grid=8, patch_px=96, min_tissue_fraction=0)
    rows = region_rows("s", mask, width, height, 0.2651, 0.2648, plan)
    edges_x, edges_y = patch_edges(0.2651, plan), patch_edges(0.2648, plan)
    for row in rows:
        x, y = row["x"] + edges_x, row["y"] + edges_y
        covered = np.zeros((8, 8))
        for left, top, right, bottom in boxes:  # overlaps of intervals, in closed form
            across = np.minimum(x[1:], right * px_x) - np.maximum(x[:-1], left * px_x)
            down = np.minimum(y[1:], bottom * px_y) - np.maximum(y[:-1], top * px_y)
            covered += np.maximum(across, 0)[None, :] * np.maximum(down, 0)[:, None]
        exact = covered / (np.diff(x)[None, :] * np.diff(y)[:, None])
        patches = row["patch_tissue"].reshape(8, 8)
        assert np.abs(patches - exact).max() < 1e-5
        assert (patches[exact == 0] == 0).all()  # not even a rounding error, or glass would be encoded
    assert sum((row["patch_tissue"] > 0).sum() for row in rows) > 9000


def test_patches_with_too_little_tissue_count_as_glass():
    mask = np.zeros((64, 64), bool)
    mask[:, :12] = True  # 48 px of level 0: one and a half patches

    def found(least):
        return region_rows("s", mask, 256, 256, 0.5, 0.5, SMALL.model_copy(update={"min_patch_tissue": least}))

    assert found(0)[0]["patch_tissue"].reshape(4, 4).tolist() == [[1, 0.5, 0, 0]] * 4
    assert found(0.5)[0]["patch_tissue"].reshape(4, 4).tolist() == [[1, 0.5, 0, 0]] * 4
    assert found(0.51)[0]["patch_tissue"].reshape(4, 4).tolist() == [[1, 0, 0, 0]] * 4
    assert found(0.51)[0]["tissue_fraction"] == pytest.approx(0.375)  # the region's own is untouched
    mask[:, 8:], mask[:, :8] = False, False
    mask[:, :2] = True
    assert len(found(0.06)) == 1 and len(found(0.25)) == 1 and found(0.26) == []  # a region of glass alone is none


def test_a_capped_slide_keeps_the_same_sample_whatever_else_changes():
    mask = np.ones((50, 50), bool)

    def ids(most, seed=0, slide="s", height=1280):
        plan = SMALL.model_copy(update={"max_per_slide": most, "seed": seed})
        return [row["region_id"] for row in region_rows(slide, mask, 1280, height, 0.5, 0.5, plan)]

    everything = ids(None)
    assert len(everything) == 100 and ids(100) == everything and ids(1000) == everything
    ten, thirty = ids(10), ids(30)
    assert len(ten) == 10 and len(thirty) == 30 and set(ten) < set(thirty)  # a larger sample holds the smaller
    assert ten == [name for name in everything if name in ten]  # in the grid's order
    assert ids(10) == ten and ids(10, seed=1) != ten
    assert {name[1:] for name in ids(10, slide="t")} != {name[1:] for name in ten}
    # pinned: another draw would silently change every capped cohort
    assert ids(3) == ["s_r000_c002", "s_r002_c007", "s_r008_c001"]
    # 10 of 100 by chance: each region is taken about as often over many seeds
    counts = np.zeros(100)
    for seed in range(300):
        counts[[everything.index(name) for name in ids(10, seed=seed)]] += 1
    assert counts.sum() == 3000 and counts.min() > 10 and counts.max() < 55  # mean 30, deviation 5.2


def test_half_steps_of_an_odd_region_do_not_drift():
    plan = Regions(grid=5, patch_px=41, stride_fraction=0.5)  # 205 px a region
    starts = sorted({place.x for place in region_grid(205 * 40, 10, 0.5, 0.5, plan)})
    assert starts[::2] == [205 * k for k in range(40)]  # every second region meets its neighbour exactly


@pytest.mark.parametrize(("grid", "patch_px", "mpp"), [(2, 16, 0.05), (64, 512, 0.5), (7, 61, 0.37)])
def test_any_size_of_region_gives_whole_rows(grid, patch_px, mpp):
    plan = Regions(grid=grid, patch_px=patch_px, mpp=mpp, min_tissue_fraction=0)
    rows = region_rows("s", np.ones((5, 5), bool), 9, 11, 1.0, 1.0, plan)
    assert rows and all(row["size_x"] >= 1 and row["patch_tissue"].shape == (grid * grid,) for row in rows)
    assert all(np.isfinite(row["patch_tissue"]).all() and 0 < row["tissue_fraction"] <= 1 for row in rows)


def test_a_slide_is_refused_where_it_would_be_enlarged_to_the_scale_that_is_asked_for():
    asked = Slides(mpp_of_regions=0.5)
    for scale in ((0.5, 0.5), (0.25, 0.54), (None, None)):
        refuse_enlarged(*scale, asked)
    refuse_enlarged(2.0, 2.0, Slides())
    for scale in ((1.0, 1.0), (0.5, 1.0), (0.56, 0.5)):
        with pytest.raises(SlideError, match=rf"scale_mismatch: the slide has {max(scale):g} um/px.*a finer scale"):
            refuse_enlarged(*scale, asked)


def test_a_slide_coarser_than_its_regions_is_told():
    assert "2 um/px" in enlargement_note(0.5, 2.0, DEFAULT) and "4 times" in enlargement_note(0.5, 2.0, DEFAULT)
    assert enlargement_note(0.54, 0.5, DEFAULT) == "" and enlargement_note(0.25, 0.25, DEFAULT) == ""
