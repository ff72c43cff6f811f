"""The whole slide at the scale of its mask, and as a picture."""

import math

import numpy as np
from PIL import Image
from scipy import ndimage

from workflow_scripts.core.overview import Overview
from workflow_scripts.wsi.pixels import read_overview
from workflow_scripts.wsi.slide import Slide

_OVERSAMPLING = 2


def read_at_scale(slide: Slide, mpp_x: float, mpp_y: float, mpp: float) -> Overview:
    """The whole slide at about `mpp` um/px.

    It is read twice as fine and averaged over blocks, so that pixels hardly depend on which levels a pyramid has: a
    level has dropped up to one of its pixels at the far edges, and its filter is the scanner's.

    Args:
        slide: the open slide.
        mpp_x: scale of level 0 along x, um/px.
        mpp_y: the same along y.
        mpp: the wanted scale, um/px; a side is a whole number of px, so the scale is near it.

    Raises:
        SlideError: `read_error` where nothing could be read.
    """
    columns = max(1, round(slide.width * mpp_x / mpp))
    rows = max(1, round(slide.height * mpp_y / mpp))
    n = _OVERSAMPLING
    fine, read_ok = read_overview(slide, columns * n, rows * n)
    rgb = np.asarray(Image.fromarray(fine).reduce(n))
    um_per_px = math.sqrt(slide.width * mpp_x / columns * slide.height * mpp_y / rows)
    whole = np.asarray(read_ok.reshape(rows, n, columns, n).all(axis=(1, 3)))
    return Overview(_continued(rgb, whole), whole, um_per_px, slide.bounds)


def _continued(rgb: np.ndarray, read_ok: np.ndarray) -> np.ndarray:
    """The picture with the colour of the nearest readable pixel where it is unreadable; white would be glass."""
    if read_ok.all() or not read_ok.any():
        return rgb
    row, column = ndimage.distance_transform_edt(~read_ok, return_distances=False, return_indices=True)
    return rgb[row, column]
