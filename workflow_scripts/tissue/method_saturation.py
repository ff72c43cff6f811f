"""Tissue score: how far a colour is from grey."""

import numpy as np


def saturation(rgb: np.ndarray) -> np.ndarray:
    """HSV saturation of uint8 `[h, w, 3]` as uint8 `[h, w]`, 255 for saturation 1."""
    high, low = rgb.max(axis=2), rgb.min(axis=2)
    ratio = (high - low).astype(np.float32) / np.maximum(high, 1)
    return np.rint(ratio * 255).astype(np.uint8)
