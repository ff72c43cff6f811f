"""A region on its way to the encoder, and the one way in which reading it fails."""

from typing import NamedTuple

import numpy as np


class ReadFailure(Exception):
    """The slide's pixels cannot be read; its text is a sentence for a person."""


class Region(NamedTuple):
    """A row of the regions table: level-0 px, tissue fractions float32 `[g, g]`."""

    slide_id: str
    region_id: str
    x: int
    y: int
    size_x: int
    size_y: int
    tissue: np.ndarray
