"""What a decoder of slides gives, and how it says that a file is not its own."""

from typing import Protocol

import numpy as np


class Backend(Protocol):
    """An open file of one decoder.

    Attributes:
        properties: the file's metadata, names as in OpenSlide.
        vendor: OpenSlide's vendor name, or the reader's own, such as `plain-image`.
        dimensions: width and height of every level, finest first, px.
        downsamples: one factor a level, as the decoder counts them.
        tile_rows: rows of a tile of every level; reads that end on a multiple of it decode no tile twice.
    """

    properties: dict[str, str]
    vendor: str
    dimensions: list[tuple[int, int]]
    downsamples: list[float]
    tile_rows: list[int]

    def read(self, level: int, x: int, y: int, w: int, h: int, out: np.ndarray | None = None) -> np.ndarray:
        """Whole pixels of a level, inside it, uint8 `[h, w, 3]`; what is transparent lies on white.

        Args:
            level: index into `dimensions`.
            x: left edge, px of the level.
            y: upper edge, px of the level.
            w: width, px of the level.
            h: height, px of the level.
            out: filled and returned, instead of a new array.

        Raises:
            SlideError: `read_error`; the backend stays usable.
        """
        ...

    def close(self) -> None: ...


class NotMine(Exception):
    """A reader does not open a file, and the next one is to be tried.

    Args:
        why: what the decoder says, for the sentence about a file that no reader opens; nothing where the file looks
            like none of its kind.
    """

    def __init__(self, why: object = "") -> None:
        super().__init__(" ".join(str(why).split()))
