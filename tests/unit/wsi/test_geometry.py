"""A thousand random slides against the closed formula, in exact fractions: no gap, no overlap, no read beyond."""

from fractions import Fraction
from itertools import pairwise
from math import ceil, floor

import numpy as np
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from workflow_scripts.config import Regions
from workflow_scripts.wsi.pixels import read_region
from workflow_scripts.wsi.regions import patch_edges, region_grid, region_size

THOUSAND = settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
LENGTH = st.one_of(st.integers(1, 200_000), st.integers(1, 9000))
MPP = st.one_of(st.floats(0.1, 2.0), st.sampled_from([0.1, 0.25, 0.2527, 0.265, 0.499, 0.5, 1.0, 2.0]))
TARGET = st.sampled_from([0.25, 0.5, 0.75, 1.0, 2.0])
STRIDE = st.one_of(st.just(1.0), st.sampled_from([0.5, 0.25, 0.75, 1 / 3]), st.floats(0.2, 1.0))
HALF, TINY = Fraction(1, 2), Fraction(1, 10**6)
ROUNDED = HALF + TINY  # a tie is decided by the arithmetic's own last bits


def exact_step(plan: Regions, mpp: float) -> Fraction:
    """Level-0 px of a patch."""
    return plan.patch_px * Fraction(plan.mpp) / Fraction(mpp)


def axis_starts(length: int, size: int, stride: float) -> list[Fraction]:
    """The closed formula: k times the step, for as many k as it takes to reach the end; or centred."""
    if length <= size:
        return [Fraction(-floor(Fraction(size - length, 2)))]
    step = size * Fraction(stride)
    return [k * step for k in range(ceil((length - size) / step) + 1)]


@st.composite
def slides(draw) -> tuple[int, int, float, float, Regions]:
    """Width, height, mpp_x, mpp_y and settings; the shorter side is cut where there would be a million regions."""
    plan = Regions(
        mpp=draw(TARGET),
        grid=draw(st.integers(4, 32)),
        patch_px=draw(st.integers(64, 512)),
        stride_fraction=draw(STRIDE),
    )
    mpp_x, mpp_y, first, second = draw(MPP), draw(MPP), draw(LENGTH), draw(LENGTH)
    along = first / (region_size(mpp_x, plan) * plan.stride_fraction) + 1
    most = 3000 / along * region_size(mpp_y, plan) * plan.stride_fraction
    return first, max(1, min(second, int(most))), mpp_x, mpp_y, plan


@THOUSAND
@given(slides(), st.booleans())
def test_positions_are_those_of_the_closed_formula(slide, swapped):
    width, height, mpp_x, mpp_y, plan = slide
    if swapped:
        width, height, mpp_x, mpp_y = height, width, mpp_y, mpp_x
    places = region_grid(width, height, mpp_x, mpp_y, plan)
    found = {}
    for axis, length, mpp in (("x", width, mpp_x), ("y", height, mpp_y)):
        size = getattr(places[0], f"size_{axis}")
        assert all(getattr(place, f"size_{axis}") == size for place in places)
        assert abs(size - plan.grid * exact_step(plan, mpp)) <= ROUNDED
        place_of = {(place.grid_col if axis == "x" else place.grid_row): getattr(place, axis) for place in places}
        starts = [place_of[index] for index in range(len(place_of))]
        formula = axis_starts(length, size, plan.stride_fraction)
        # where a region ends within half a px of the slide's end, rounding decides whether one more is needed
        both = min(len(starts), len(formula))
        assert abs(len(starts) - len(formula)) <= (abs(formula[both - 1] + size - length) <= ROUNDED)
        assert all(abs(start - exact) <= ROUNDED for start, exact in zip(starts, formula, strict=False))
        assert starts[0] <= 0 and starts[0] + size > 0 and starts[-1] + size >= length > starts[-1]
        assert all(0 < b - a <= size for a, b in pairwise(starts))  # no gap
        if plan.stride_fraction == 1:
            assert all(b - a == size for a, b in pairwise(starts))  # no overlap
        found[axis] = starts
    expected = [(x, y) for y in found["y"] for x in found["x"]]  # row by row, each once
    assert [(place.x, place.y) for place in places] == expected


@THOUSAND
@given(MPP, TARGET, st.integers(4, 32), st.integers(64, 512))
@example(0.7, 0.25, 27, 413)  # 3982.5 px
def test_each_patch_covers_its_micrometres_to_half_a_pixel(mpp_level0, mpp, grid, patch_px):
    plan = Regions(mpp=mpp, grid=grid, patch_px=patch_px)
    step = exact_step(plan, mpp_level0)
    edges = patch_edges(mpp_level0, plan)
    assert all(abs(int(edge) - k * step) <= ROUNDED for k, edge in enumerate(edges))
    assert edges[0] == 0 and edges[-1] == region_size(mpp_level0, plan)
    # what is read: the region's whole px in equal parts, each as wide as patch_px * mpp to half a px in all
    for k in range(grid + 1):
        assert abs(Fraction(int(edges[-1]) * k, grid) - k * step) <= ROUNDED


class Recorder:
    """Stands for a slide, and refuses a rectangle beyond it; it paints what it is asked for black."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height

    def read(self, x: float, y: float, w: float, h: float, out_w: int, out_h: int, level=None) -> np.ndarray:
        assert level is None  # a level is named only after an error
        slack = 1e-6 * max(self.width, self.height)
        assert min(w, h, out_w, out_h) > 0
        assert -slack <= x and -slack <= y and x + w <= self.width + slack and y + h <= self.height + slack
        return np.zeros((out_h, out_w, 3), np.uint8)


def inside_px(start: int, size: int, side: int, length: int) -> np.ndarray:
    """Px of a region's side that lie wholly in the slide, by exact fractions."""
    edge = [start + Fraction(size * i, side) for i in range(side + 1)]
    return np.array([a >= -TINY and b <= length + TINY for a, b in pairwise(edge)])


def share(start: int, size: int, grid: int, length: int) -> list[Fraction]:
    """Share of each patch in the slide."""
    edge = [min(max(start + Fraction(size * i, grid), 0), length) for i in range(grid + 1)]
    return [(b - a) / Fraction(size, grid) for a, b in pairwise(edge)]


@THOUSAND
@given(LENGTH, LENGTH, MPP, MPP, st.integers(2, 6), st.integers(16, 24), TARGET, STRIDE, st.randoms())
def test_no_read_goes_beyond_the_slide(width, height, mpp_x, mpp_y, grid, patch_px, target, stride, chance):
    plan = Regions(mpp=target, grid=grid, patch_px=patch_px, stride_fraction=stride)
    width, height = (
        min(length, 400 * region_size(mpp, plan) // 10) for length, mpp in ((width, mpp_x), (height, mpp_y))
    )
    places = region_grid(width, height, mpp_x, mpp_y, plan)
    side = grid * patch_px
    for place in {places[0], places[-1], chance.choice(places)}:
        box = place.x, place.y, place.size_x, place.size_y
        rgb, read_ok = read_region(Recorder(width, height), *box, grid, patch_px)
        columns, rows = inside_px(box[0], box[2], side, width), inside_px(box[1], box[3], side, height)
        black = (rgb == 0).all(axis=2)
        assert rgb.shape == (side, side, 3) and (black == rows[:, None] * columns[None, :]).all()
        across, down = share(box[0], box[2], grid, width), share(box[1], box[3], grid, height)
        for i in range(grid):
            for j in range(grid):
                part = across[j] * down[i]
                assert abs(part - HALF) < TINY or read_ok[i, j] == (part >= HALF)
