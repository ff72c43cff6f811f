"""Tissue score: how far a colour is from grey."""

import numpy as np

from workflow_scripts.tissue.smooth import smooth_colours

FULL_SCALE = 1.0


def saturation(rgb: np.ndarray) -> np.ndarray:
    """HSV saturation of uint8 `[h, w, 3]` as uint8 `[h, w]`, 255 for saturation 1."""
    high, low = rgb.max(axis=2), rgb.min(axis=2)
    ratio = (high - low).astype(np.float32) / np.maximum(high, 1)
    return np.rint(ratio * 255).astype(np.uint8)


def score(rgb: np.ndarray, width_px: float) -> np.ndarray:
    """Saturation of colours smoothed over `width_px`, uint8 `[h, w, 3]` to uint8 `[h, w]`."""
    return saturation(smooth_colours(rgb, width_px))
