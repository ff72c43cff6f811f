"""A slide's regions on their way to its feature table: what of each is encoded, counted, left out and written."""

import numpy as np
import pytest
import torch

from workflow_scripts.core.feature_file import feature_schema
from workflow_scripts.core.tensors import from_column
from workflow_scripts.encoders.region import Region
from workflow_scripts.encoders.registry import Encoder
from workflow_scripts.encoders.slide_features import (
    REGIONS_A_PIECE,
    Counts,
    SlideExtraction,
    read_patches,
)

GRID, PX = 2, 16
SIDE = GRID * PX
GLASS = np.array([-1, -2, -3], np.float16)
WIDTH = 10 * SIDE  # of the slide; its height is SIDE


class _MeanColour(torch.nn.Module):
    """The feature of a patch is its mean colour, D = 3."""

    def forward(self, pixels):
        return pixels.mean((2, 3))


def _encoder() -> Encoder:
    return Encoder(_MeanColour(), 3, PX, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "float32", {"name": "mean"})


def _region(number: int, tissue=1.0, x: int | None = None) -> Region:
    fractions = np.broadcast_to(np.float32(tissue), (GRID, GRID)).copy()
    return Region("s", f"s_{number}", SIDE * number if x is None else x, 0, SIDE, SIDE, fractions)


def _pixels(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)


def _read(region: Region, lost: tuple[tuple[int, int], ...] = (), encode_glass: bool = False):
    """The region as the reading threads hand it on; patches `lost` could not be read."""

    def read(x, y, size_x, size_y):
        assert (x, y, size_x, size_y) == (region.x, region.y, SIDE, SIDE)
        read_ok = np.ones((GRID, GRID), bool)
        for place in lost:
            read_ok[place] = False
        return _pixels(int(region.region_id[2:])), read_ok

    return read_patches(region, read, encode_glass)


def _patch(number: int, row: int, col: int) -> np.ndarray:
    return _pixels(number)[row * PX : (row + 1) * PX, col * PX : (col + 1) * PX]


def _extract(regions, batch_size=3):
    extraction = SlideExtraction(_encoder(), feature_schema(GRID, 3), (WIDTH, SIDE), batch_size, GLASS)
    return list(extraction.pieces(regions)), extraction.counts


def test_fraction_without_patches_is_zero():
    assert Counts().unreadable_fraction == 0
    assert Counts(inside=8, unreadable=2).unreadable_fraction == 0.25


@pytest.mark.parametrize(("encode_glass", "encoded"), [(False, [(0, 0), (1, 1)]), (True, [(0, 0), (1, 0), (1, 1)])])
def test_what_goes_through_the_encoder(encode_glass, encoded):
    found = _read(_region(4, [[0.5, 1], [0, 0.01]]), lost=((0, 1),), encode_glass=encode_glass)
    assert [tuple(place) for place in np.argwhere(found.encoded)] == encoded
    assert len(found.patches) == len(encoded)
    for patch, place in zip(found.patches, encoded, strict=True):
        np.testing.assert_array_equal(patch, _patch(4, *place))


def test_colour_of_every_readable_patch():
    found = _read(_region(4, 0.0), lost=((0, 1),))
    for row, col in ((0, 0), (1, 0), (1, 1)):
        values = _patch(4, row, col).reshape(-1, 3) / 255
        np.testing.assert_allclose(found.colour[row, col], [*values.mean(0), *values.std(0)], rtol=1e-5)
    assert (found.colour[0, 1] == 0).all() and found.colour.dtype == np.float32


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_every_token_is_in_its_place(batch_size):
    regions = [_region(0), _region(1, [[1, 0], [0.5, 0.2]]), _region(2, 0.0), _region(3)]
    (table,), counts = _extract(
        [_read(region, ((1, 0),) if i == 3 else ()) for i, region in enumerate(regions)], batch_size
    )
    assert table.schema.equals(feature_schema(GRID, 3), check_metadata=True)
    assert table["region_id"].to_pylist() == ["s_0", "s_1", "s_2", "s_3"]
    assert set(table["slide_id"].to_pylist()) == {"s"}
    tokens, read_ok = from_column(table, "features"), from_column(table, "read_ok")
    for number, region in enumerate(regions):
        for row, col in np.ndindex(GRID, GRID):
            if (number, row, col) == (3, 1, 0):
                expected = np.zeros(3)
            elif region.tissue[row, col] == 0:
                expected = GLASS
            else:
                expected = _patch(number, row, col).mean((0, 1)) / 255
            np.testing.assert_allclose(tokens[number, row, col], expected, atol=1e-3)
            assert read_ok[number, row, col] == ((number, row, col) != (3, 1, 0))
    np.testing.assert_array_equal(from_column(table, "tissue"), [region.tissue for region in regions])
    assert counts == Counts(regions=4, inside=16, unreadable=1, encoded=4 + 3 + 0 + 3)


def test_a_region_without_a_readable_patch_is_counted_and_left_out():
    every = tuple(np.ndindex(GRID, GRID))
    (table,), counts = _extract([_read(_region(0), every), _read(_region(1)), _read(_region(2), every)])
    assert table["region_id"].to_pylist() == ["s_1"]
    np.testing.assert_allclose(from_column(table, "features")[0, 0, 1], _patch(1, 0, 1).mean((0, 1)) / 255, atol=1e-3)
    assert counts == Counts(regions=1, inside=12, unreadable=8, encoded=4)
    assert _extract([_read(_region(0), every)]) == ([], Counts(regions=0, inside=4, unreadable=4))


def test_padding_is_not_unreadable():
    # its right half lies outside the slide, where nothing is read
    over_the_edge = _read(_region(9, x=WIDTH - PX), lost=((0, 1), (1, 1)))
    (_,), counts = _extract([over_the_edge])
    assert counts == Counts(regions=1, inside=2, unreadable=0, encoded=2)


@pytest.mark.parametrize("count", [0, 1, REGIONS_A_PIECE, REGIONS_A_PIECE + 1])
def test_pieces_are_of_bounded_size_and_in_order(count):
    tables, counts = _extract([_read(_region(number, x=0)) for number in range(count)])
    sizes = [len(table) for table in tables]
    assert sum(sizes) == counts.regions == count
    assert all(size == REGIONS_A_PIECE for size in sizes[:-1]) and all(0 < size <= REGIONS_A_PIECE for size in sizes)
    assert [name for table in tables for name in table["region_id"].to_pylist()] == [f"s_{i}" for i in range(count)]


def test_pieces_are_given_as_they_are_ready():
    taken = []

    def regions():
        for number in range(3 * REGIONS_A_PIECE):
            taken.append(number)
            yield _read(_region(number, x=0))

    extraction = SlideExtraction(_encoder(), feature_schema(GRID, 3), (WIDTH, SIDE), 3, GLASS)
    next(extraction.pieces(regions()))
    assert len(taken) <= REGIONS_A_PIECE + 2  # what a batch that is under way may hold
