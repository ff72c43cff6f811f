"""A region on its way to the encoder."""

from typing import NamedTuple

import numpy as np


class Region(NamedTuple):
    """A row of the regions table: level-0 px, tissue fractions float32 `[g, g]`."""

    slide_id: str
    region_id: str
    x: int
    y: int
    size_x: int
    size_y: int
    tissue: np.ndarray
