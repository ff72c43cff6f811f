"""Smoothing of a slide's colours before they are scored."""

import numpy as np
from scipy import ndimage

_SIGMA = 3 / 8  # standard deviation of the Gaussian, of the smoothing width


def smooth_colours(rgb: np.ndarray, width_px: float) -> np.ndarray:
    """uint8 `[h, w, 3]` under a Gaussian with 3/8 of `width_px` as standard deviation, rounded.

    Colours are smoothed and not scores: noise of compression averages out in them, whereas saturation turns noise of
    either sign into a positive score.
    """
    if width_px <= 0:
        return rgb
    planes = [
        ndimage.gaussian_filter(rgb[..., c].astype(np.float32), _SIGMA * width_px, mode="nearest") for c in range(3)
    ]
    return np.rint(np.stack(planes, axis=2)).astype(np.uint8)
