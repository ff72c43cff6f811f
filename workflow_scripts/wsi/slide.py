"""A slide as a plane of pixels: any rectangle of level 0 at any size, from the nearest finer pyramid level."""

import math
from pathlib import Path

import numpy as np
from PIL import Image

from workflow_scripts.wsi.backends import open_backend
from workflow_scripts.wsi.slide_error import SlideError

__all__ = ["Slide", "SlideError", "open_slide"]

_LEVEL_SLACK = 1e-3  # a level coarser than wanted by less than this counts as fine enough
_MAX_SOURCE_PX = 32_000_000  # decoded at once; larger reads go in strips
Image.MAX_IMAGE_PIXELS = None  # the limit above stands in for Pillow's


def true_downsample(size: int, level_size: int) -> float:
    """Downsample of a level along one axis.

    Pyramids are built by whole factors and drop the odd last pixels, so the ratio of sizes is a little off: 4.0027 for
    4443 -> 1110. The whole factor is taken wherever it explains the level's size.
    """
    ratio = size / level_size
    whole = round(ratio)
    return float(whole) if whole and math.floor(size / whole) <= level_size <= math.ceil(size / whole) else ratio


class Slide:
    """An open slide; use it in a `with` block.

    Attributes:
        path: the file.
        vendor: OpenSlide's vendor name, or `plain-image`.
        width, height: px at level 0.
        level_downsamples: one factor a level, mean of both axes.
        properties: the file's metadata, names as in OpenSlide.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        self._backend = open_backend(self.path)
        self.vendor = self._backend.vendor
        self.properties: dict[str, str] = self._backend.properties
        self.width, self.height = self._backend.dimensions[0]
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

    def read(self, x: float, y: float, w: float, h: float, out_w: int, out_h: int) -> np.ndarray:
        """Pixels of a rectangle inside the slide, uint8 `[out_h, out_w, 3]`.

        Nothing is resampled where the wanted scale is a level's own and the corner falls on a pixel. Elsewhere the
        filter is the block mean for whole factors and Hamming for others, close to each other and free of aliasing.
        Transparent pixels lie on white.

        Args:
            x, y, w, h: the rectangle, level-0 px; fractions allowed.
            out_w, out_h: size of the result.

        Raises:
            ValueError: the rectangle is not inside the slide.
            SlideError: `read_error`; the slide stays usable.
        """
        slack = 1e-6 * max(self.width, self.height)
        outside = x < -slack or y < -slack or x + w > self.width + slack or y + h > self.height + slack
        if outside or min(w, h, out_w, out_h) <= 0:
            raise ValueError(f"rectangle {(x, y, w, h)} is empty or not inside the {self.width} x {self.height} slide")
        level = self._level_for(w / out_w, h / out_h)
        (step_x, step_y), (level_w, level_h) = self._steps[level], self._backend.dimensions[level]
        rows = max(1, int(_MAX_SOURCE_PX / (w / step_x) / (h / step_y / out_h)))
        strips = []
        for top in range(0, out_h, rows):
            bottom = min(top + rows, out_h)
            box_x = (max(x, 0) / step_x, min((x + w) / step_x, level_w))
            box_y = (max(y + h * top / out_h, 0) / step_y, min((y + h * bottom / out_h) / step_y, level_h))
            strips.append(self._resample(level, box_x, box_y, out_w, bottom - top))
        return strips[0] if len(strips) == 1 else np.concatenate(strips)

    def _resample(
        self, level: int, box_x: tuple[float, float], box_y: tuple[float, float], out_w: int, out_h: int
    ) -> np.ndarray:
        """One strip, its box in px of `level`."""
        scale_x, scale_y = (box_x[1] - box_x[0]) / out_w, (box_y[1] - box_y[0]) / out_h
        whole = _is_whole(box_x[0]) and _is_whole(box_y[0]) and _is_whole(scale_x) and _is_whole(scale_y)
        if whole and round(scale_x) == round(scale_y) == 1:
            pixels = self._backend.read(level, round(box_x[0]), round(box_y[0]), out_w, out_h)
            return np.asarray(pixels)
        source_x = _source_span(box_x, 0 if whole else scale_x, self._backend.dimensions[level][0])
        source_y = _source_span(box_y, 0 if whole else scale_y, self._backend.dimensions[level][1])
        pixels = self._backend.read(level, source_x[0], source_y[0], source_x[1], source_y[1])
        box = (
            box_x[0] - source_x[0],
            box_y[0] - source_y[0],
            min(box_x[1] - source_x[0], source_x[1]),
            min(box_y[1] - source_y[0], source_y[1]),
        )
        kernel = Image.Resampling.BOX if whole else Image.Resampling.HAMMING
        return np.asarray(pixels.resize((out_w, out_h), kernel, box))


def _is_whole(value: float) -> bool:
    return abs(value - round(value)) < 1e-4


def _source_span(box: tuple[float, float], scale: float, size: int) -> tuple[int, int]:
    """First pixel and count that a box needs with the filter's support around it, inside the level."""
    margin = math.ceil(max(scale, 1.0)) if scale else 0
    first = max(0, math.floor(box[0] + 1e-4) - margin)
    last = min(size, math.ceil(box[1] - 1e-4) + margin)
    return first, last - first


def open_slide(path: str | Path) -> Slide:
    """Open a slide.

    Raises:
        SlideError: `missing_file`, `unreadable_file` or `not_brightfield`; the detail says what the file seems to be.
    """
    return Slide(path)
