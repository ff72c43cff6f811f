"""A whole slide at the scale of its tissue mask, as it is read (`wsi`) and segmented (`tissue`)."""

from typing import NamedTuple

import numpy as np


class Bounds(NamedTuple):
    """The part of a slide that its file says is filled, level-0 px; QuPath shows and exports this part alone."""

    x: int
    y: int
    width: int
    height: int


class Overview(NamedTuple):
    """A slide at a fixed scale.

    Attributes:
        rgb: uint8 `[h, w, 3]`; the colour of the nearest readable pixel where the slide could not be read.
        read_ok: bool `[h, w]`, False there.
        um_per_px: true scale; rounding to whole pixels moves it a little off the wanted one.
        bounds: of the slide; null where its file names none.
    """

    rgb: np.ndarray
    read_ok: np.ndarray
    um_per_px: float
    bounds: Bounds | None = None

    @property
    def unreadable_fraction(self) -> float:
        """Share of the slide that could not be read at any level, 0 to 1."""
        return float(1 - self.read_ok.mean())
