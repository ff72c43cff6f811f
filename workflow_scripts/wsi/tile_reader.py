"""Rectangles of a TIFF level put together from its tiles, straight from the file, each tile decoded once a read."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image

from workflow_scripts.core.status import SlideError
from workflow_scripts.wsi.tiff_layout import TiffLevel

WHITE = (255, 255, 255)
# Reads one tile's rectangle (level, x, y, w, h) another way; raises SlideError where it cannot either.
Rescue = Callable[[int, int, int, int, int], np.ndarray]


def flatten(pixels: Image.Image) -> Image.Image:
    """An RGB or RGBA image on white."""
    if pixels.mode == "RGB":
        return pixels
    alpha = pixels.getchannel("A")
    if alpha.getextrema()[0] == 255:
        return pixels.convert("RGB")
    flat = Image.new("RGB", pixels.size, WHITE)
    flat.paste(pixels, mask=alpha)
    return flat


def filled(out: np.ndarray | None, pixels: np.ndarray) -> np.ndarray:
    """`out` with the pixels in it, or the pixels themselves where there is none."""
    if out is None:
        return pixels
    out[...] = pixels
    return out


class TileReader:
    """Reads from one file descriptor by position, so several threads may read at once.

    A damaged tile is remembered: a later read that touches it fails before anything is decoded, which makes it cheap
    to halve a block until only the damaged patches are left.

    Args:
        path: the TIFF.
        levels: its pyramid, finest first.
        threads: tiles decoded at once; decoding leaves Python to other threads.
        rescue: asked for each tile that cannot be decoded, before it counts as damaged.
    """

    def __init__(self, path: str, levels: list[TiffLevel], threads: int = 1, rescue: Rescue | None = None) -> None:
        self.levels, self._rescue = levels, rescue
        self._file = os.open(path, os.O_RDONLY)
        self._damaged: list[dict[int, SlideError]] = [{} for _ in levels]
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None

    def close(self) -> None:
        if self._pool:
            self._pool.shutdown()
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def tile(self, level: int, index: int) -> np.ndarray | None:
        """Pixels of one tile, uint8 `[h, w, 3]`; None for a tile that was never stored.

        Raises:
            Exception: the decoders' own kinds, where it is damaged.
        """
        layout = self.levels[level]
        planes = [self._stored(layout, plane * layout.tiles + index) for plane in range(layout.planes)]
        stored = [pixels for pixels in planes if pixels is not None]
        if not stored:
            return None
        if len(stored) < len(planes):
            raise ValueError("a tile lacks the plane of a colour")
        pixels = stored[0] if len(stored) == 1 else np.concatenate(stored, axis=2)
        return layout.to_rgb(pixels) if layout.to_rgb else pixels

    def _stored(self, layout: TiffLevel, index: int) -> np.ndarray | None:
        """What one entry of the level's `offsets` holds; None where nothing was stored."""
        count = int(layout.counts[index])
        if not count:
            return None
        data = os.pread(self._file, count, int(layout.offsets[index]))
        if len(data) != count:
            raise ValueError(f"the file ends {count - len(data)} bytes before the end of a tile")
        return layout.decode(data, index)

    def read(self, level: int, x: int, y: int, w: int, h: int, out: np.ndarray | None = None) -> np.ndarray:
        """A rectangle of whole pixels inside a level, uint8 `[h, w, 3]`; tiles that were never stored are white.

        Args:
            level: index into `levels`.
            x: left edge, px of the level.
            y: upper edge, px of the level.
            w: width, px of the level.
            h: height, px of the level.
            out: filled and returned, instead of a new array.

        Raises:
            SlideError: `read_error` where a tile is damaged; all others of the rectangle were tried.
        """
        layout = self.levels[level]
        columns = range(x // layout.tile_w, (x + w - 1) // layout.tile_w + 1)
        rows = range(y // layout.tile_h, (y + h - 1) // layout.tile_h + 1)
        indices = [row * layout.across + column for row in rows for column in columns]
        known = self._damaged[level]
        if known and (error := next((known[i] for i in indices if i in known), None)):
            raise error
        canvas = np.empty((h, w, 3), np.uint8) if out is None else out
        errors = list((self._pool.map if self._pool else map)(lambda i: self._place(level, i, canvas, x, y), indices))
        for error in errors:
            if error is not None:
                raise error
        return canvas

    def _place(self, level: int, index: int, canvas: np.ndarray, x: int, y: int) -> SlideError | None:
        """Decode a tile and copy what the canvas at (x, y) needs of it."""
        layout = self.levels[level]
        row, column = divmod(index, layout.across)
        top, left = row * layout.tile_h, column * layout.tile_w
        # What of the tile lies inside the level: the last row and column of tiles stick out.
        height, width = min(layout.tile_h, layout.height - top), min(layout.tile_w, layout.width - left)
        try:
            pixels = self._decode(level, index, left, top, width, height)
        except SlideError as error:
            if not isinstance(error.__cause__, OSError):  # a store that does not answer may answer next time
                self._damaged[level][index] = error
            return error
        y0, y1 = max(y, top), min(y + canvas.shape[0], top + height)
        x0, x1 = max(x, left), min(x + canvas.shape[1], left + width)
        window = canvas[y0 - y : y1 - y, x0 - x : x1 - x]
        window[...] = 255 if pixels is None else pixels[y0 - top : y1 - top, x0 - left : x1 - left]
        return None

    def _decode(self, level: int, index: int, left: int, top: int, width: int, height: int) -> np.ndarray | None:
        try:
            pixels = self.tile(level, index)
            if pixels is not None and (pixels.shape[0] < height or pixels.shape[1] < width):
                raise ValueError(f"a tile has {pixels.shape[1]} x {pixels.shape[0]} px")
        except MemoryError:
            raise
        except Exception as error:  # each codec raises its own kind
            if self._rescue and not isinstance(error, OSError):
                return self._rescue(level, left, top, width, height)
            raise SlideError("read_error", f"pixels cannot be read ({error}); fetch the file again") from error
        return pixels
