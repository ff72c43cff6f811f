"""Pen marks on a slide, by the colour of marker ink.

At 8 um/px and a saturation above 0.1, the hues of haematoxylin and eosin lie between 245 and 345 degrees in the real
slides of the tests; only CMU-1 has paler bluish pixels, and DAB adds browns near 30. Green and blue ink lie below, red
ink is far more saturated than eosin, and black ink has no colour. Ranges for each colour of ink are the classical way
(Dusenberry and Hu's filters of red, green and blue pen, https://github.com/CODAIT/deep-histopath; HistoQC, Janowczyk
et al. 2019, doi 10.1200/CCI.18.00157); these are chosen anew, in hue, saturation and value. Stains that have such
colours themselves (trichrome, alcian blue) need `tissue.remove_pen: false`.
"""

import numpy as np

from workflow_scripts.wsi.shapes import drop_small, grow, open_mask

STROKE_UM = 80.0  # narrower marks are folds, pigment or dust; the finest markers draw 300 um
MIN_AREA_UM2 = 20_000.0
_RIM_UM = 24.0  # the faded rim of a stroke


def hue_saturation_value(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hue in degrees 0..360, saturation and value 0..1 of uint8 `[h, w, 3]`, float32 `[h, w]` each."""
    r, g, b = (rgb[..., channel].astype(np.float32) for channel in range(3))
    high = np.maximum(np.maximum(r, g), b)
    chroma = high - np.minimum(np.minimum(r, g), b)
    scale = np.maximum(chroma, 1)
    sector = np.where(high == r, (g - b) / scale, np.where(high == g, (b - r) / scale + 2, (r - g) / scale + 4))
    return sector * 60 % 360, chroma / np.maximum(high, 1), high / 255


def ink_colours(rgb: np.ndarray) -> np.ndarray:
    """Pixels of the colour of green, blue, red or black ink, bool `[h, w]`."""
    hue, saturation, value = hue_saturation_value(rgb)
    green_blue = (hue >= 75) & (hue <= 240) & (saturation >= 0.4)
    red = ((hue >= 348) | (hue <= 12)) & (saturation >= 0.7) & (value >= 0.5)
    black = (value >= 0.1) & (value <= 0.35) & (saturation <= 0.35)  # below 0.1: the padding of a scanner
    return green_blue | red | black


def find_ink(rgb: np.ndarray, um_per_px: float) -> np.ndarray:
    """Pen strokes, at least 80 um wide and 0.02 mm2 large, bool `[h, w]`, of uint8 `[h, w, 3]` at `um_per_px`."""
    ink = open_mask(ink_colours(rgb), STROKE_UM / 2 / um_per_px)
    ink = drop_small(ink, MIN_AREA_UM2 / um_per_px**2)
    return grow(ink, _RIM_UM / um_per_px)
