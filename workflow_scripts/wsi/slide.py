"""A slide as a plane of pixels: any rectangle of level 0 at any size, from the nearest finer pyramid level."""

import math
from pathlib import Path

import numpy as np
from PIL import Image

from workflow_scripts.core.overview import Bounds
from workflow_scripts.wsi.axis import Axis, plan_strips
from workflow_scripts.wsi.readers import open_backend
from workflow_scripts.wsi.resample import block_mean, filtered

_LEVEL_SLACK = 1e-3  # a level coarser than wanted by less than this counts as fine enough
_MAX_SOURCE_PX = 4_000_000  # resampled at once; larger reads go in strips of at least one row of tiles
_MAX_TILE_ROW_PX = 160_000_000  # a row of larger tiles is read in parts: 1024 px tiles over 150,000 px still fit
Image.MAX_IMAGE_PIXELS = None  # the limit above stands in for Pillow's


def true_downsample(size: int, level_size: int) -> float:
    """Downsample of a level along one axis.

    Pyramids are built by whole factors and drop the odd last pixels, so the ratio of sizes is a little off: 4.0027 for
    4443 -> 1110. The whole factor is taken wherever it explains the level's size.
    """
    ratio = size / level_size
    whole = round(ratio)
    return float(whole) if whole and math.floor(size / whole) <= level_size <= math.ceil(size / whole) else ratio


def _bounds(properties: dict[str, str], width: int, height: int) -> Bounds | None:
    """What the file says is filled, cut to the slide of `width x height` px."""
    told = [properties.get(f"openslide.bounds-{name}", "") for name in Bounds._fields]
    if not all(text.isdecimal() for text in told):
        return None
    x, y, w, h = map(int, told)
    cut = Bounds(x, y, min(w, width - x), min(h, height - y))
    return cut if min(cut.width, cut.height) > 0 and cut != (0, 0, width, height) else None


class Slide:
    """An open slide; use it in a `with` block, and open one for each thread that reads.

    Attributes:
        path: the file.
        vendor: OpenSlide's vendor name, or `plain-image`.
        width, height: px at level 0.
        level_downsamples: one factor a level, mean of both axes.
        properties: the file's metadata, names as in OpenSlide.
        bounds: the part that is filled, by the file's `openslide.bounds-*`; null where that is all of it or not told.
    """

    def __init__(self, path: str | Path, threads: int = 1) -> None:
        self.path = str(path)
        self._backend = open_backend(self.path, threads)
        self.vendor = self._backend.vendor
        self.properties: dict[str, str] = self._backend.properties
        self.width, self.height = self._backend.dimensions[0]
        self.bounds = _bounds(self.properties, self.width, self.height)
        self._steps = [
            (true_downsample(self.width, w), true_downsample(self.height, h)) for w, h in self._backend.dimensions
        ]
        self.level_downsamples = [(sx + sy) / 2 for sx, sy in self._steps]

    def __enter__(self) -> "Slide":
        return self

    def __exit__(self, *_: object) -> None:
        self._backend.close()

    def _level_for(self, scale_x: float, scale_y: float) -> int:
        """Coarsest level that is still at least as fine as wanted."""
        slack = 1 + _LEVEL_SLACK
        fine = [i for i, (sx, sy) in enumerate(self._steps) if sx <= scale_x * slack and sy <= scale_y * slack]
        return max(fine, key=lambda level: self.level_downsamples[level], default=0)

    def finer_levels(self, scale_x: float, scale_y: float) -> list[int]:
        """Levels finer than the one that `read` takes at a scale (level-0 px a px), the coarsest of them first."""
        taken = self.level_downsamples[self._level_for(scale_x, scale_y)]
        finer = [level for level, downsample in enumerate(self.level_downsamples) if downsample < taken]
        return sorted(finer, key=lambda level: -self.level_downsamples[level])

    def read(
        self, x: float, y: float, w: float, h: float, out_w: int, out_h: int, level: int | None = None
    ) -> np.ndarray:
        """Pixels of a rectangle inside the slide, uint8 `[out_h, out_w, 3]`.

        Nothing is resampled where the wanted scale is a level's own and the corner falls on a pixel. Elsewhere the
        filter is the block mean for whole factors and Hamming for others, close to each other and free of aliasing.
        Transparent pixels lie on white.

        Args:
            x: left edge, level-0 px; fractions are allowed here and below.
            y: upper edge, level-0 px.
            w: width, level-0 px.
            h: height, level-0 px.
            out_w: width of the result, px.
            out_h: height of the result, px.
            level: to read from, one of `finer_levels`; null takes the coarsest that is fine enough.

        Raises:
            ValueError: the rectangle is not inside the slide.
            SlideError: `read_error`; the slide stays usable.
        """
        slack = 1e-6 * max(self.width, self.height)
        outside = x < -slack or y < -slack or x + w > self.width + slack or y + h > self.height + slack
        if outside or min(w, h, out_w, out_h) <= 0:
            raise ValueError(f"rectangle {(x, y, w, h)} is empty or not inside the {self.width} x {self.height} slide")
        if level is None:
            level = self._level_for(w / out_w, h / out_h)
        (step_x, step_y), (level_w, level_h) = self._steps[level], self._backend.dimensions[level]
        box_x = Axis(max(x, 0) / step_x, min((x + w) / step_x, level_w), out_w, level_w)
        box_y = Axis(max(y, 0) / step_y, min((y + h) / step_y, level_h), out_h, level_h)
        if box_x.is_copy and box_y.is_copy:
            return self._backend.read(level, round(box_x.first), round(box_y.first), out_w, out_h)
        return self._resample(level, box_x, box_y)

    def _resample(self, level: int, box_x: Axis, box_y: Axis) -> np.ndarray:
        """Strip by strip, so that memory stays bounded; no row is read twice, so no tile is decoded twice."""
        whole = box_x.is_whole and box_y.is_whole
        first, width = box_x.span(0, box_x.count, whole)
        tile_rows = self._backend.tile_rows[level]
        if tile_rows * width > _MAX_TILE_ROW_PX:
            tile_rows = 1
        strips = plan_strips(box_y, whole, tile_rows, _MAX_SOURCE_PX // width)
        out = np.empty((box_y.count, box_x.count, 3), np.uint8)
        # One buffer for all strips: fresh memory costs more than what is done with it.
        buffer = np.empty((max(strip.until - strip.first for strip in strips), width, 3), np.uint8)
        start = until = strips[0].first  # rows of the level that the buffer holds
        for strip in strips:
            kept = max(0, until - strip.first)
            buffer[:kept] = buffer[strip.first - start : until - start]
            start, until = strip.first, max(until, strip.until)
            if until - start > kept:
                self._backend.read(
                    level, first, start + kept, width, until - start - kept, buffer[kept : until - start]
                )
            rows, target = buffer[: strip.last - start], out[strip.top : strip.bottom]
            if whole:
                target[...] = block_mean(rows, round(box_y.scale), round(box_x.scale))
            else:
                left, right = box_x.inside(first, 0, box_x.count)
                upper, lower = box_y.inside(start, strip.top, strip.bottom)
                target[...] = filtered(rows, target.shape[1::-1], (left, upper, right, lower))
        return out


def open_slide(path: str | Path, threads: int = 1) -> Slide:
    """Open a slide.

    Args:
        path: its file, or the folder of a DICOM series.
        threads: tiles of one read decoded at once, where the tiles are decoded here (JPEG-tiled slides, plain TIFF).

    Raises:
        SlideError: `missing_file`, `unreadable_file` or `not_brightfield`; the detail says what the file seems to be.
    """
    return Slide(path, threads)
