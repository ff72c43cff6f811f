from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow_scripts.config import Regions
from workflow_scripts.wsi.regions import TissueArea, patch_edges, region_grid, region_rows

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
