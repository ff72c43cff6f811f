"""Arithmetic of one region against loops over its patches."""

import numpy as np
import pytest

from workflow_scripts.encoders.grids import (
    assemble_tokens,
    colour_statistics,
    encoded_one_by_one,
    inside_slide,
    split_patches,
)


@pytest.mark.parametrize(("grid", "px"), [(2, 16), (3, 97), (1, 600)])
def test_colour_is_mean_and_deviation(grid, px):
    rng = np.random.default_rng(grid)
    rgb = rng.integers(0, 256, (grid * px, grid * px, 3), dtype=np.uint8)
    rgb[:px, :px] = 255
    found = colour_statistics(rgb, grid)
    assert found.dtype == np.float32
    for row in range(grid):
        for col in range(grid):
            pixels = rgb[row * px : (row + 1) * px, col * px : (col + 1) * px].reshape(-1, 3) / 255
            np.testing.assert_allclose(found[row, col, :3], pixels.mean(0), rtol=1e-6)
            np.testing.assert_allclose(found[row, col, 3:], pixels.std(0), rtol=1e-6, atol=1e-7)
    assert (found[0, 0] == [1, 1, 1, 0, 0, 0]).all()


def test_patches_are_rows_first():
    rgb = np.arange(6 * 6 * 3, dtype=np.uint8).reshape(6, 6, 3)
    patches = split_patches(rgb, 3)
    assert patches.shape == (3, 3, 2, 2, 3)
    np.testing.assert_array_equal(patches[1, 2], rgb[2:4, 4:6])


@pytest.mark.parametrize(("x", "y"), [(0, 0), (-30, 5), (170, 90), (-400, 0), (55, -61)])
def test_inside_counts_level_0_pixels(x, y):
    grid, step, width, height = 4, 40, 210, 130
    slide = np.zeros((2000, 2000), bool)
    slide[500 : 500 + height, 500 : 500 + width] = True
    expected = np.empty((grid, grid), bool)
    for row in range(grid):
        for col in range(grid):
            top, left = 500 + y + row * step, 500 + x + col * step
            expected[row, col] = slide[top : top + step, left : left + step].mean() >= 0.5
    found = inside_slide(x, y, grid * step, grid * step, grid, width, height)
    np.testing.assert_array_equal(found, expected)


def test_tokens_of_tissue_glass_and_damage():
    read_ok = np.array([[True, True], [False, True]])
    tissue = np.array([[0.5, 0.0], [0.7, 0.01]], np.float32)
    encoded = encoded_one_by_one(read_ok, tissue, encode_glass=False)
    np.testing.assert_array_equal(encoded, [[True, False], [False, True]])
    np.testing.assert_array_equal(encoded_one_by_one(read_ok, tissue, encode_glass=True), read_ok)
    features = np.array([[1, 2], [3, 4]], np.float16)
    tokens = assemble_tokens(features, encoded, read_ok, np.array([9, 8], np.float16))
    assert tokens.dtype == np.float16
    np.testing.assert_array_equal(tokens, [[[1, 2], [9, 8]], [[0, 0], [3, 4]]])
