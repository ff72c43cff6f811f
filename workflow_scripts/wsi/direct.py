"""JPEG-tiled slides decoded straight from the file, where it is certain that the pixels are OpenSlide's own."""

from threading import Lock

import numpy as np

from workflow_scripts.wsi.openslide_backend import OpenSlideBackend
from workflow_scripts.wsi.tiff_layout import TiffLevel, parse_level
from workflow_scripts.wsi.tile_reader import TileReader

# Their levels are single TIFF pages of whole tiles. Others of OpenSlide's TIFF formats crop, overlap or join areas.
_VENDORS = ("aperio", "generic-tiff")


class DirectBackend:
    """Metadata from OpenSlide, pixels from the tiles.

    A level is used once its richest tile has come out equal to OpenSlide's, bit for bit; else OpenSlide reads it. A
    tile that does not decode is tried by OpenSlide, so damage is told as OpenSlide tells it.

    Args:
        reference: the slide as OpenSlide has it; closed with this.
        levels: layout of OpenSlide's levels.
        threads: tiles decoded at once.
    """

    def __init__(self, reference: OpenSlideBackend, levels: list[TiffLevel], threads: int = 1) -> None:
        self._reference = reference
        self._lock = Lock()  # after an error OpenSlide's handle is closed and opened again: one reader at a time
        self._tiles = TileReader(reference.path, levels, threads, self._ask)
        self._same: dict[int, bool] = {}
        self.properties, self.vendor = reference.properties, reference.vendor
        self.dimensions, self.downsamples = reference.dimensions, reference.downsamples
        self.tile_rows = [layout.tile_h for layout in levels]

    def read(self, level: int, x: int, y: int, w: int, h: int, out: np.ndarray | None = None) -> np.ndarray:
        return self._tiles.read(level, x, y, w, h, out) if self.is_direct(level) else self._ask(level, x, y, w, h, out)

    def _ask(self, level: int, x: int, y: int, w: int, h: int, out: np.ndarray | None = None) -> np.ndarray:
        with self._lock:
            return self._reference.read(level, x, y, w, h, out)

    def is_direct(self, level: int) -> bool:
        """Whether a level is decoded from its tiles."""
        if level not in self._same:
            self._same[level] = self._agrees(level)
        return self._same[level]

    def _agrees(self, level: int) -> bool:
        """Compare the tile of most bytes (a second and third, where it is damaged) with OpenSlide's pixels."""
        layout, step = self._tiles.levels[level], self.downsamples[level]
        corners = np.arange(len(layout.counts))
        left, top = corners % layout.across * layout.tile_w, corners // layout.across * layout.tile_h
        # OpenSlide takes corners in whole level-0 px; between pixels of the level it would resample.
        whole = (np.abs(np.rint(left * step) / step - left) < 1e-9) & (np.abs(np.rint(top * step) / step - top) < 1e-9)
        for index in np.argsort(-np.where(whole, layout.counts, -1), kind="stable")[:3]:
            x, y = int(left[index]), int(top[index])
            w, h = min(layout.tile_w, layout.width - x), min(layout.tile_h, layout.height - y)
            try:
                mine = self._tiles.tile(level, int(index))
                theirs = self._ask(level, x, y, w, h)
            except Exception:  # damaged by either account
                continue
            return mine is not None and np.array_equal(mine[:h, :w], theirs)
        return False

    def close(self) -> None:
        self._tiles.close()
        self._reference.close()


def find_levels(reference: OpenSlideBackend) -> list[TiffLevel] | None:
    """Layout of OpenSlide's levels in the file, or None where it is not certain or not made of JPEG tiles.

    Certain means: a vendor whose levels are plain pages, exactly one tiled page of each level's size, as many tiles as
    the size asks for, 8-bit RGB without alpha, and for Aperio no tile missing (OpenSlide fills it from other levels).
    """
    if reference.vendor not in _VENDORS:
        return None
    import tifffile

    try:
        with tifffile.TiffFile(reference.path) as file:
            pages = [page for page in file.pages if isinstance(page, tifffile.TiffPage) and page.is_tiled]
            found = []
            for size in reference.dimensions:
                same = [page for page in pages if (page.imagewidth, page.imagelength) == size]
                layout = parse_level(same[0]) if len(same) == 1 else None
                if layout is None or not layout.jpeg or not layout.complete:
                    return None
                if reference.vendor != "generic-tiff" and not layout.counts.all():
                    return None
                found.append(layout)
            return found
    except Exception:  # whatever tifffile makes of a file that OpenSlide opens, OpenSlide can read it
        return None
