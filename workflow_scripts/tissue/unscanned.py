"""The part of a slide's frame that was never scanned, where a scanner or converter fills it with black or dark grey."""

import numpy as np
from scipy import ndimage

from workflow_scripts.tissue.shapes import grow, open_mask

_DARK = 64  # no channel of a filled frame is above this
_TINT = 16  # the largest difference of its channels; melanin, blood and haematoxylin in mass have more
_WIDTH_UM = 200.0  # narrower dark pieces are folds, ink or dust
_CONTACT_UM = 1000.0  # a frame touches the slide's edge at least so far
_SIDE_UM = 1000.0  # of a gap between scanned areas, a rectangle inside the slide, at least
_BOX = 0.95  # share of its bounding box that a gap fills
_RIM_PX = 2.0  # mixed of frame and glass


def find_unscanned(rgb: np.ndarray, um_per_px: float) -> np.ndarray:
    """Dark and nearly grey pieces along the slide's edge, or rectangles inside it, with their rim, bool `[h, w]`.

    Args:
        rgb: uint8 `[h, w, 3]` at `um_per_px`.
        um_per_px: scale of `rgb`.
    """
    brightest = rgb.max(axis=2)
    dark = (brightest <= _DARK) & (brightest - rgb.min(axis=2) <= _TINT)
    pieces, count = ndimage.label(open_mask(dark, _WIDTH_UM / 2 / um_per_px))
    if not count:
        return np.zeros(rgb.shape[:2], bool)
    edge = np.concatenate([pieces[0], pieces[-1], pieces[1:-1, 0], pieces[1:-1, -1]])
    contact_px = min(_CONTACT_UM / um_per_px, *rgb.shape[:2])
    unscanned = np.bincount(edge, minlength=count + 1) >= contact_px
    unscanned[0] = False
    areas = np.bincount(pieces.ravel(), minlength=count + 1)
    for piece, (rows, columns) in enumerate(ndimage.find_objects(pieces), 1):
        high, wide = rows.stop - rows.start, columns.stop - columns.start
        unscanned[piece] |= areas[piece] >= _BOX * high * wide and min(high, wide) >= _SIDE_UM / um_per_px
    return grow(unscanned[pieces], _RIM_PX)
