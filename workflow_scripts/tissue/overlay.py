"""The picture beside every tissue table: the slide with its tissue outlined, or why there is none."""

import textwrap
from pathlib import Path

import numpy as np
import shapely
from PIL import Image, ImageDraw

from workflow_scripts.core.files import whole_file

MAX_WIDTH_PX, MAX_HEIGHT_PX = 1000, 2000
_OUTLINE = (0, 160, 80)
_HOLE = (30, 90, 220)
_INK = (230, 0, 200)
_BLURRED = (255, 140, 0)
UNREADABLE = (150, 150, 150)


def picture_size(width: int, height: int) -> tuple[int, int]:
    """Width and height of a slide's picture: within the limits and no finer than level 0 (`width x height` px)."""
    shrink = max(1.0, width / MAX_WIDTH_PX, height / MAX_HEIGHT_PX)
    return max(1, round(width / shrink)), max(1, round(height / shrink))


def draw_outline(rgb: np.ndarray, polygons: list[shapely.Polygon], width: int, height: int) -> Image.Image:
    """Picture uint8 `[h, w, 3]` with the outlines of polygons (level-0 px) of a slide of `width x height` px."""
    picture = Image.fromarray(rgb)
    scale = np.array([picture.width / width, picture.height / height])
    pen = ImageDraw.Draw(picture)
    for polygon in polygons:
        for ring, colour in ((polygon.exterior, _OUTLINE), *((hole, _HOLE) for hole in polygon.interiors)):
            points = shapely.get_coordinates(ring) * scale
            pen.line([tuple(point) for point in points], fill=colour, width=2)
    return picture


def draw_findings(
    picture: Image.Image, ink: list[shapely.Polygon], blurred: np.ndarray, width: int, height: int
) -> Image.Image:
    """The same picture with pen marks outlined and out-of-focus fields (float64 `[n, 4]`, level-0 px) framed."""
    scale = np.array([picture.width / width, picture.height / height])
    pen = ImageDraw.Draw(picture)
    for ring in (ring for polygon in ink for ring in (polygon.exterior, *polygon.interiors)):
        pen.line([tuple(point) for point in shapely.get_coordinates(ring) * scale], fill=_INK, width=3)
    for box in np.asarray(blurred).reshape(-1, 2, 2) * scale:
        pen.rectangle([tuple(corner) for corner in box], outline=_BLURRED, width=2)
    return picture


def draw_reason(reason: str, detail: str) -> Image.Image:
    """A small grey picture that tells why a slide is excluded."""
    picture = Image.new("RGB", (480, 160), (150, 150, 150))
    lines = [reason, "", *textwrap.wrap(detail, 72)[:6]]
    # Pillow's built-in font has no glyph for every character of a path.
    text = "\n".join(lines).encode("ascii", "replace").decode()
    ImageDraw.Draw(picture).multiline_text((16, 16), text, fill=(20, 20, 20))
    return picture


def save_picture(path: Path | str, picture: Image.Image) -> None:
    """Write a PNG whole or not at all."""
    with whole_file(path) as partial:
        picture.save(partial, format="PNG")
