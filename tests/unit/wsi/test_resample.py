import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow_scripts.wsi import resample
from workflow_scripts.wsi.resample import block_mean


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 20), st.integers(1, 20), st.integers(0, 255), st.booleans())
def test_the_block_mean_is_the_rounded_mean_of_its_block(rows, columns, high, wide, seed, extreme):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (high * rows, wide * columns, 3), dtype=np.uint8)
    if extreme:
        pixels[:] = 255
    sums = pixels.reshape(high, rows, wide, columns, 3).astype(np.int64).sum(axis=(1, 3))
    area = rows * columns
    np.testing.assert_array_equal(block_mean(pixels, rows, columns), (2 * sums + area) // (2 * area))


@pytest.mark.parametrize("factor", [16, 17, 32, 300])
def test_large_blocks_do_not_overflow(factor):
    pixels = np.full((factor * 2, factor * 3, 3), 255, np.uint8)
    assert (block_mean(pixels, factor, factor) == 255).all()


def test_parts_of_a_large_image_join(monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 256, (400, 90, 3), dtype=np.uint8)
    whole = block_mean(pixels, 4, 3)
    monkeypatch.setattr(resample, "_BLOCK_BYTES", 3000)
    np.testing.assert_array_equal(block_mean(pixels, 4, 3), whole)
