"""Lattices, regions and tokens against a search for every token among the patches, one by one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.interchange import layouts
from workflow_scripts.config import Regions
from workflow_scripts.core.status import SlideError
from workflow_scripts.interchange.assemble import region_map, region_starts, tokens_of
from workflow_scripts.interchange.lattice import find_lattices


def assembled(coords, size, grid=4, **changes):
    regions = Regions(grid=grid, patch_px=256, **{"min_tissue_fraction": 0, **changes})
    return region_map("a", find_lattices("a.h5", np.asarray(coords, float), size), regions)


def found(coords, size, x, y, tolerance):
    """The patch within a few px of a place, by looking at all of them; -1 where there is none."""
    near = [n for n, (px, py) in enumerate(coords) if abs(px - x) <= tolerance and abs(py - y) <= tolerance]
    assert len(near) < 2
    return near[0] if near else -1


def check_tokens(coords, size, made, grid, tolerance):
    for row, patches in zip(made.rows, made.patches, strict=True):
        for r in range(grid):
            for c in range(grid):
                x, y = row["x"] + c * row["size_x"] / grid, row["y"] + r * row["size_y"] / grid
                assert patches[r, c] == found(coords, size, x, y, tolerance)
        np.testing.assert_array_equal(np.reshape(row["patch_tissue"], (grid, grid)), patches >= 0)
        assert row["tissue_fraction"] == pytest.approx((patches >= 0).mean())
    assert len({row["region_id"] for row in made.rows}) == len(made.rows)


def check_every_patch_is_one_token(made, count):
    used = made.patches[made.patches >= 0]
    assert sorted(used) == list(range(count))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    rows=st.integers(1, 14),
    cols=st.integers(1, 14),
    grid=st.integers(2, 6),
    step=st.sampled_from([63, 256, 483, 512, 1024]),
    origin=st.tuples(st.integers(0, 3000), st.integers(0, 3000)),
    share=st.sampled_from([0.2, 0.6, 1.0]),
)
def test_one_lattice(seed, rows, cols, grid, step, origin, share):
    coords = layouts.lattice(seed, rows, cols, step, origin, share)
    if not len(coords):
        return
    made = assembled(coords, (step, step), grid)
    check_tokens(coords, step, made, grid, 0.01)
    check_every_patch_is_one_token(made, len(coords))
    assert all(row["size_x"] == row["size_y"] == grid * step for row in made.rows)
    for row in made.rows:  # where a side is longer than a region, regions start at the slide's corner
        for axis, key in ((0, "x"), (1, "y")):
            if np.ptp(coords[:, axis]) // step + 1 > grid:
                assert (row[key] - coords[0, axis]) % step == 0
                assert np.floor(row[key] / step + 0.25) % grid == 0  # cells begin a quarter early


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), step=st.floats(97, 1100), grid=st.integers(2, 5))
def test_places_rounded_one_by_one(seed, step, grid):
    """A step that is no whole number of px, each corner rounded, as slides read at true scale have."""
    cells = layouts.lattice(seed, 20, 25, 1)
    coords = np.rint(cells * step)
    made = assembled(coords, (round(step), round(step)), grid)
    check_tokens(coords, step, made, grid, 1.6)
    check_every_patch_is_one_token(made, len(coords))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), mpp=st.floats(0.2, 0.6), tiles=st.integers(1, 4))
def test_stamps_jumps_between_its_pieces(seed, mpp, tiles):
    """Pieces of ceil(tile / mpp) * n px, tiles of exactly tile_um in them, corners in float32 um."""
    tile_um = 256.0
    piece_um = np.ceil(tile_um / mpp) * tiles * mpp
    cells = layouts.lattice(seed, 18, 18, 1)
    um = (cells // tiles * piece_um + cells % tiles * tile_um).astype(np.float32).astype(float)
    coords, size = um / mpp, tile_um / mpp
    made = assembled(coords, (size, size))
    check_every_patch_is_one_token(made, len(coords))
    for row, patches in zip(made.rows, made.patches, strict=True):
        for r, c in zip(*np.nonzero(patches >= 0), strict=True):
            x, y = row["x"] + c * row["size_x"] / 4, row["y"] + r * row["size_y"] / 4
            assert np.abs(coords[patches[r, c]] - (x, y)).max() < 0.03 * size


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), step=st.sampled_from([256, 512]), pieces=st.integers(2, 5))
def test_clams_contours_have_a_lattice_each(seed, step, pieces):
    rng = np.random.default_rng(seed)
    parts = [
        layouts.lattice(seed + n, *rng.integers(2, 9, 2), step, (rng.integers(0, step), 20 * step * n), 1.0)
        for n in range(pieces)
    ]
    coords = np.concatenate(parts)
    made = assembled(coords, (step, step))
    check_tokens(coords, step, made, 4, step // 64)
    check_every_patch_is_one_token(made, len(coords))


def test_contours_whose_patches_overlap_at_their_rims_are_kept_apart():
    one, two = layouts.lattice(1, 6, 6, 256, (0, 0), 1.0), layouts.lattice(2, 6, 6, 256, (1400, 100), 1.0)
    coords = np.concatenate([one, two])  # columns at 1280..1536 and 1400..1656 cover each other
    made = assembled(coords, (256, 256))
    check_every_patch_is_one_token(made, 72)
    assert {row["region_id"].split("_")[1] for row in made.rows} == {"l000", "l001"}
    for patches in made.patches:
        assert len({number < 36 for number in patches[patches >= 0]}) == 1


@pytest.mark.parametrize(
    ("coords", "word"),
    [
        (layouts.lattice(3, 10, 10, 128), "overlap"),  # half a width apart
        (layouts.lattice(3, 10, 10, 300), "side by side"),  # with gaps between them
        (layouts.lattice(3, 10, 10, 256) + np.random.default_rng(0).integers(0, 120, (57, 2)), "overlap"),
        (np.random.default_rng(0).integers(0, 10**5, (50, 2)), "side by side"),
    ],
)
def test_what_lies_on_no_lattice_is_refused(coords, word):
    with pytest.raises(SlideError, match=word) as caught:
        assembled(coords, (256, 256))
    assert caught.value.reason == "irregular_grid"


def test_regions_with_few_patches_are_left_out_but_never_all():
    full, lone = layouts.lattice(0, 4, 4, 256, (0, 0), 1.0), np.array([[4 * 256, 0]])
    made = assembled(np.concatenate([full, lone]), (256, 256), min_tissue_fraction=0.2)
    assert [row["region_id"] for row in made.rows] == ["a_r000_c000"]
    assert len(assembled(np.concatenate([full, lone]), (256, 256), min_tissue_fraction=0.05).rows) == 2
    few = np.concatenate([lone, lone * 3, lone * 3 + [256, 0]])
    made = assembled(few, (256, 256), min_tissue_fraction=0.5)
    assert sorted(made.patches[made.patches >= 0]) == [1, 2]


def test_regions_that_overlap():
    coords = layouts.lattice(0, 8, 8, 256, (0, 0), 1.0)
    made = assembled(coords, (256, 256), stride_fraction=0.5, min_tissue_fraction=1)
    check_tokens(coords, 256, made, 4, 0.01)
    assert sorted({row["x"] for row in made.rows}) == [0, 512, 1024]


@given(first=st.integers(-3, 80), extent=st.integers(1, 80), grid=st.integers(2, 20), part=st.integers(1, 20))
def test_region_starts_cover_every_cell_and_no_more(first, extent, grid, part):
    stride = min(part, grid)
    last = first + extent - 1
    starts = [start for _, start in region_starts(first, last, grid, stride)]
    for cell in range(first, last + 1):
        assert any(start <= cell < start + grid for start in starts)
    assert all(start <= last and start + grid > first for start in starts)
    if extent <= grid:
        before, after = first - starts[0], starts[0] + grid - 1 - last
        assert len(starts) == 1 and 0 <= after - before <= 1


def test_tokens_without_a_patch_are_zero():
    values = layouts.features(0, 3)
    tokens = tokens_of(np.array([[[2, -1], [0, 1]]]), values)
    assert tokens.dtype == np.float16
    np.testing.assert_array_equal(tokens[0, 0, 0], values[2].astype(np.float16))
    np.testing.assert_array_equal(tokens[0, 0, 1], 0)
