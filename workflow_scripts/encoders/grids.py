"""Arithmetic of one region: its patches, which of them are encoded, their colour, and the grid of tokens."""

import numpy as np


def share_inside(start: float, size: float, grid: int, length: int) -> np.ndarray:
    """Share of each of `grid` equal intervals of `start..start + size` that lies in `0..length`, float64 `[grid]`."""
    step = size / grid
    edges = np.clip(start + np.arange(grid + 1) * step, 0, length)
    return np.diff(edges) / step


def inside_slide(x: int, y: int, size_x: int, size_y: int, grid: int, width: int, height: int) -> np.ndarray:
    """bool `[g, g]`: patches that lie at least half inside the slide; the others are padding. All in level-0 px."""
    rows, cols = share_inside(y, size_y, grid, height), share_inside(x, size_x, grid, width)
    return rows[:, None] * cols[None, :] >= 0.5


def split_patches(rgb: np.ndarray, grid: int) -> np.ndarray:
    """Region `[g*p, g*p, 3]` as a view `[g, g, p, p, 3]`, rows first."""
    patch_px = rgb.shape[0] // grid
    return rgb.reshape(grid, patch_px, grid, patch_px, 3).swapaxes(1, 2)


def colour_statistics(rgb: np.ndarray, grid: int) -> np.ndarray:
    """Mean and standard deviation (population) of R, G, B of each patch, in 0..1.

    Sums are exact integers: squares of bytes fit in 16 bit, and a column's sum of them in 32.

    Args:
        rgb: uint8 `[g*p, g*p, 3]`.
        grid: patches along each side, g.

    Returns:
        float32 `[g, g, 6]`.
    """
    patch_px = rgb.shape[0] // grid
    count = patch_px * patch_px
    rows = rgb.reshape(grid, patch_px, grid * patch_px * 3)
    sums = np.empty((2, grid, grid, 3))
    for row, strip in enumerate(rows):
        for which, values in enumerate((strip, np.square(strip, dtype=np.uint16))):
            columns = values.sum(axis=0, dtype=np.uint32).reshape(grid, patch_px, 3)
            sums[which, row] = columns.sum(axis=1, dtype=np.uint64)
    mean = sums[0] / count
    deviation = np.sqrt(np.maximum(sums[1] / count - mean**2, 0))
    return (np.concatenate([mean, deviation], axis=-1) / 255).astype(np.float32)


def encoded_one_by_one(read_ok: np.ndarray, tissue: np.ndarray, encode_glass: bool) -> np.ndarray:
    """bool `[g, g]`: patches that go through the encoder; bare glass shares a token unless `encode_glass`."""
    return read_ok if encode_glass else read_ok & (tissue > 0)


def assemble_tokens(
    features: np.ndarray, encoded: np.ndarray, read_ok: np.ndarray, glass_token: np.ndarray
) -> np.ndarray:
    """Grid of tokens, float16 `[g, g, D]`: features where encoded, the glass token where readable, zeros elsewhere.

    Args:
        features: float16 `[n, D]`, in row-major order of the `n` True patches of `encoded`.
        encoded: bool `[g, g]`.
        read_ok: bool `[g, g]`, True wherever `encoded` is.
        glass_token: float16 `[D]`.
    """
    tokens = np.zeros((*read_ok.shape, len(glass_token)), np.float16)
    tokens[read_ok] = glass_token
    tokens[encoded] = features
    return tokens
