"""Coarser pixels from finer ones: the block mean for whole factors, Hamming's filter for all others."""

import math

import numpy as np
from PIL import Image

_BLOCK_BYTES = 1_000_000  # of source whose mean is taken at once: stays in the processor's cache
_FILTER_BYTES = 24_000_000  # of source filtered at once: Pillow needs as much again, and a third more


def block_mean(pixels: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Mean of blocks of `rows x columns` px, halves rounded up.

    Args:
        pixels: uint8 `[h, w, 3]`, h and w multiples of `rows` and `columns`.
        rows: px of a block along y.
        columns: px of a block along x.

    Returns:
        uint8 `[h / rows, w / columns, 3]`.
    """
    height, width, _ = pixels.shape
    out = np.empty((height // rows, width // columns, 3), np.uint8)
    step = max(1, _BLOCK_BYTES // (3 * width * rows))
    area = rows * columns
    dtype: type[np.unsignedinteger] = np.uint16 if area <= 256 else np.uint32
    for top in range(0, len(out), step):
        block = pixels[top * rows : (top + step) * rows]
        sums = _sum_of(block, rows, dtype).reshape(-1, width // columns, columns, 3)
        total = sums[:, :, 0] + sums[:, :, 1] if columns > 1 else sums[:, :, 0].copy()
        for column in range(2, columns):
            total += sums[:, :, column]
        total += dtype(area // 2)
        out[top : top + step] = total >> (area.bit_length() - 1) if area & (area - 1) == 0 else total // dtype(area)
    return out


def _sum_of(block: np.ndarray, rows: int, dtype: type[np.unsignedinteger]) -> np.ndarray:
    """Sums of every `rows` rows."""
    total: np.ndarray = block[0::rows].astype(dtype)
    for row in range(1, rows):
        total += block[row::rows]
    return total


def filtered(pixels: np.ndarray, size: tuple[int, int], box: tuple[float, float, float, float]) -> np.ndarray:
    """A rectangle (left, top, right, bottom, px with fractions) of an image at a size (width, height), uint8 RGB.

    Hamming's filter is close to the block mean and leaves less aliasing (Pillow's documentation of filters). A wide
    image goes through it in parts, side by side, so that it needs little memory.
    """
    (count, rows), (left, top, right, bottom) = size, box
    scale = (right - left) / count
    margin = math.ceil(max(scale, 1.0)) + 1  # the filter reaches one output px, and one source px at least
    step = max(16, int(_FILTER_BYTES / (3 * len(pixels) * scale)))
    out = np.empty((rows, count, 3), np.uint8)
    for first in range(0, count, step):
        last = min(first + step, count)
        low, high = left + first * scale, min(left + last * scale, right)
        start = max(0, math.floor(low) - margin)
        part = np.ascontiguousarray(pixels[:, start : math.ceil(high) + margin])
        image = Image.fromarray(part).resize(
            (last - first, rows), Image.Resampling.HAMMING, (low - start, top, min(high - start, part.shape[1]), bottom)
        )
        out[:, first:last] = np.asarray(image)
    return out
