"""The whole slide at the scale of its mask, and as a picture."""

import math
from typing import NamedTuple

import numpy as np
from PIL import Image

from workflow_scripts.wsi.pixels import read_overview
from workflow_scripts.wsi.slide import Slide

_OVERSAMPLING = 2


class Overview(NamedTuple):
    """A slide at a fixed scale.

    Attributes:
        rgb: uint8 `[h, w, 3]`.
        read_ok: bool `[h, w]`, False where the slide could not be read.
        um_per_px: true scale; rounding to whole pixels moves it a little off the wanted one.
    """

    rgb: np.ndarray
    read_ok: np.ndarray
    um_per_px: float


def read_at_scale(slide: Slide, mpp_x: float, mpp_y: float, mpp: float) -> Overview:
    """The whole slide at about `mpp` um/px.

    It is read twice as fine and averaged over blocks, so that pixels hardly depend on which levels a pyramid has: a
    level has dropped up to one of its pixels at the far edges, and its filter is the scanner's.

    Args:
        mpp_x, mpp_y: scale of level 0, um/px.

    Raises:
        SlideError: `read_error` where nothing could be read.
    """
    columns = max(1, round(slide.width * mpp_x / mpp))
    rows = max(1, round(slide.height * mpp_y / mpp))
    n = _OVERSAMPLING
    fine, read_ok = read_overview(slide, columns * n, rows * n)
    rgb = np.asarray(Image.fromarray(fine).reduce(n))
    um_per_px = math.sqrt(slide.width * mpp_x / columns * slide.height * mpp_y / rows)
    return Overview(rgb, read_ok.reshape(rows, n, columns, n).all(axis=(1, 3)), um_per_px)
