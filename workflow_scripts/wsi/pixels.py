"""Pixels of regions and of whole slides, read so that one damaged tile costs only its own surroundings."""

from typing import NamedTuple

import numpy as np

from workflow_scripts.core.status import SlideError
from workflow_scripts.wsi.slide import Slide

_OVERVIEW_CELL_PX = 8


class RegionPixels(NamedTuple):
    """Pixels of a region.

    Attributes:
        rgb: uint8 `[g*p, g*p, 3]`; white where there is nothing to read.
        read_ok: bool `[g, g]`; False for a patch that could not be read or lies less than half inside the slide.
    """

    rgb: np.ndarray
    read_ok: np.ndarray


class _Canvas:
    """A white canvas of `rows x cols` cells of `cell` px over a rectangle of the slide, filled cell by cell or whole.

    Args:
        x, y: corner of the canvas, level-0 px; it may lie outside the slide.
        px_x, px_y: level-0 px a canvas pixel.
    """

    def __init__(self, slide: Slide, x: float, y: float, px_x: float, px_y: float, shape: tuple[int, int], cell: int):
        self.slide, self.x, self.y, self.px_x, self.px_y, self.cell = slide, x, y, px_x, px_y, cell
        self.shape = shape
        self._rgb: np.ndarray | None = None
        # Whole canvas pixels inside the slide; a pixel that the slide's edge cuts stays white.
        self.left, self.right = _inside(x, px_x, shape[1], slide.width)
        self.top, self.bottom = _inside(y, px_y, shape[0], slide.height)
        self.read_ok = np.ones((-(-shape[0] // cell), -(-shape[1] // cell)), bool)
        self.error: SlideError | None = None

    @property
    def rgb(self) -> np.ndarray:
        """uint8 `[*shape, 3]`; laid out in white only where one read did not give all of it."""
        if self._rgb is None:
            self._rgb = np.full((*self.shape, 3), 255, np.uint8)
        return self._rgb

    def fill(self, row0: int, row1: int, col0: int, col1: int) -> None:
        """Read cells `[row0:row1, col0:col1]`; what its level does not give is read from the finer ones."""
        self._read(row0, row1, col0, col1)
        if self.read_ok[row0:row1, col0:col1].all():
            return
        for level in self.slide.finer_levels(self.px_x, self.px_y):
            self._mend(row0, row1, col0, col1, level)

    def _mend(self, row0: int, row1: int, col0: int, col1: int, level: int) -> None:
        """Read what is lost of a block from another level, in the largest blocks that are lost whole."""
        lost = ~self.read_ok[row0:row1, col0:col1]
        if lost.all():
            self.read_ok[row0:row1, col0:col1] = True
            self._read(row0, row1, col0, col1, level)
        elif lost.any():
            for r0, r1 in _halves(row0, row1):
                for c0, c1 in _halves(col0, col1):
                    self._mend(r0, r1, c0, c1, level)

    def _read(self, row0: int, row1: int, col0: int, col1: int, level: int | None = None) -> None:
        """Read cells `[row0:row1, col0:col1]`; on an error halve the block until single cells fail."""
        top, bottom = max(row0 * self.cell, self.top), min(row1 * self.cell, self.bottom)
        left, right = max(col0 * self.cell, self.left), min(col1 * self.cell, self.right)
        if bottom <= top or right <= left:
            return
        try:
            pixels = self.slide.read(
                self.x + left * self.px_x,
                self.y + top * self.px_y,
                (right - left) * self.px_x,
                (bottom - top) * self.px_y,
                right - left,
                bottom - top,
                level,
            )
        except SlideError as error:
            self.error = error
            if row1 - row0 == 1 and col1 - col0 == 1:
                self.read_ok[row0, col0] = False
                return
            rows, cols = _halves(row0, row1), _halves(col0, col1)
            for r0, r1 in rows:
                for c0, c1 in cols:
                    self._read(r0, r1, c0, c1, level)
        else:
            if pixels.shape[:2] == self.shape and pixels.flags.writeable:
                self._rgb = pixels
            else:
                self.rgb[top:bottom, left:right] = pixels


def _halves(first: int, last: int) -> list[tuple[int, int]]:
    middle = (first + last) // 2
    return [(a, b) for a, b in ((first, middle), (middle, last)) if b > a]


def _inside(start: float, step: float, count: int, length: int) -> tuple[int, int]:
    """Range of the pixels `start + i * step .. start + (i + 1) * step` that lie wholly in `0..length`."""
    first = int(np.ceil(max(0.0, -start / step) - 1e-6))
    last = int(np.floor(min(count, (length - start) / step) + 1e-6))
    return first, max(first, last)


def _share_inside(start: float, step: float, count: int, length: int) -> np.ndarray:
    """Share of each interval `start + i * step .. start + (i + 1) * step` inside `0..length`, float64 `[count]`."""
    edges = np.clip(start + np.arange(count + 1) * step, 0, length)
    return np.diff(edges) / step


def read_region(
    slide: Slide, x: float, y: float, size_x: float, size_y: float, grid: int, patch_px: int
) -> RegionPixels:
    """Pixels of a region of `grid x grid` patches at `patch_px` px each.

    The region is read in one piece where that works, in smaller blocks down to single patches where it does not, and
    those from finer levels. What lies outside the slide or cannot be read stays white, and `read_ok` says so.

    Args:
        slide: the open slide.
        x: left edge, level-0 px; the region may stick out of the slide on any side.
        y: upper edge, level-0 px.
        size_x: width, level-0 px.
        size_y: height, level-0 px.
        grid: patches along each side.
        patch_px: width of a patch as it is read, px.
    """
    side = grid * patch_px
    canvas = _Canvas(slide, x, y, size_x / side, size_y / side, (side, side), patch_px)
    canvas.fill(0, grid, 0, grid)
    share_x = _share_inside(x, size_x / grid, grid, slide.width)
    share_y = _share_inside(y, size_y / grid, grid, slide.height)
    return RegionPixels(canvas.rgb, canvas.read_ok & (share_y[:, None] * share_x[None, :] >= 0.5))


def read_overview(slide: Slide, out_w: int, out_h: int) -> tuple[np.ndarray, np.ndarray]:
    """The whole slide at a size, uint8 `[out_h, out_w, 3]`, and bool `[out_h, out_w]`, False where it was unreadable.

    Raises:
        SlideError: `read_error` where nothing could be read.
    """
    cell = _OVERVIEW_CELL_PX
    canvas = _Canvas(slide, 0, 0, slide.width / out_w, slide.height / out_h, (out_h, out_w), cell)
    rows, cols = canvas.read_ok.shape
    # The last cells on their own: a level without the odd last px of the finer one is stretched in them alone.
    for row0, row1 in ((0, rows - 1), (rows - 1, rows)):
        for col0, col1 in ((0, cols - 1), (cols - 1, cols)):
            canvas.fill(row0, row1, col0, col1)
    if canvas.error and not canvas.read_ok.any():
        raise canvas.error
    return canvas.rgb, np.kron(canvas.read_ok, np.ones((cell, cell), bool))[:out_h, :out_w]


def probe(slide: Slide, side: int = 64) -> None:
    """Read small squares of level 0, spread over the slide, until one succeeds.

    Raises:
        SlideError: `read_error` where all nine fail.
    """
    w, h = min(side, slide.width), min(side, slide.height)
    error: SlideError | None = None
    for part_y in (0.5, 0.2, 0.8):
        for part_x in (0.5, 0.2, 0.8):
            try:
                slide.read(int((slide.width - w) * part_x), int((slide.height - h) * part_y), w, h, w, h)
            except SlideError as caught:
                error = caught
            else:
                return
    if error:
        raise error
