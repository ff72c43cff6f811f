"""Tissue score: how much light a pixel absorbs."""

import numpy as np

from workflow_scripts.tissue.smooth import smooth_colours

FULL_SCALE = float(np.log10(256.0))


def optical_density(rgb: np.ndarray) -> np.ndarray:
    """Mean over the channels of log10(256 / (value + 1)), uint8 `[h, w, 3]` to uint8 `[h, w]`, 255 for log10(256)."""
    table = (np.log10(256.0 / (np.arange(256) + 1.0)) / FULL_SCALE * 255).astype(np.float32)
    return np.rint(table[rgb].mean(axis=2)).astype(np.uint8)


def score(rgb: np.ndarray, width_px: float) -> np.ndarray:
    """Optical density of colours smoothed over `width_px`, uint8 `[h, w, 3]` to uint8 `[h, w]`."""
    return optical_density(smooth_colours(rgb, width_px))
