"""Write JPEG-tiled pyramids that OpenSlide opens as `aperio` (SVS) or `generic-tiff` (TIFF)."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

_TILE = (256, 256)
_QUALITY = 85
_FACTOR = 4  # between levels, as Aperio writes them
_SMALLEST = 256  # px; no level is smaller


def pyramid_levels(rgb: np.ndarray) -> list[np.ndarray]:
    """The image and its reductions by 4, 16, ... as box means; none is smaller than a tile in both directions."""
    levels = [rgb]
    while min(levels[-1].shape[:2]) >= _SMALLEST * _FACTOR:
        levels.append(_reduced(levels[-1]))
    return levels


def _reduced(rgb: np.ndarray) -> np.ndarray:
    """Box means of 4 x 4 px, a remainder left out; in bands, because one whole copy would fill memory."""
    height, width = (n // _FACTOR for n in rgb.shape[:2])
    result = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, _TILE[0]):
        bottom = min(height, top + _TILE[0])
        band = Image.fromarray(rgb[top * _FACTOR : bottom * _FACTOR, : width * _FACTOR])
        result[top:bottom] = np.asarray(band.reduce(_FACTOR))
    return result


def _description(rgb: np.ndarray, level: np.ndarray, mpp: float, mpp_in_file: bool) -> str:
    """Aperio's description of a level: the first line is the format's mark, facts follow after bars."""
    size = f"{rgb.shape[1]}x{rgb.shape[0]}"
    scaled = "" if level is rgb else f" -> {level.shape[1]}x{level.shape[0]}"
    facts = [f"AppMag = {round(10 / mpp)}", *([f"MPP = {mpp:g}"] if mpp_in_file else [])]
    return f"Aperio Image Library v12.0.0\r\n{size} (256x256){scaled} JPEG/RGB Q={_QUALITY}|{'|'.join(facts)}"


def write_pyramid(path: Path | str, rgb: np.ndarray, suffix: str, mpp: float, mpp_in_file: bool = True) -> None:
    """Write a slide.

    Args:
        path: the file.
        rgb: uint8 [h, w, 3].
        suffix: svs (Aperio's layout) or tiff (generic tiled TIFF with resolution tags).
        mpp: um/px of level 0.
        mpp_in_file: False leaves the scale out of the file.
    """
    levels = pyramid_levels(rgb)
    with tifffile.TiffWriter(path) as writer:
        write = partial(
            writer.write,
            photometric="rgb",
            compression="jpeg",
            compressionargs={"level": _QUALITY},
            metadata=None,
            software=False,
            maxworkers=1,
        )
        for number, level in enumerate(levels):
            scale = mpp * _FACTOR**number
            if suffix == "svs":
                write(level, tile=_TILE, description=_description(rgb, level, mpp, mpp_in_file))
            elif mpp_in_file:
                per_cm = (1e4 / scale, 1e4 / scale)
                write(level, tile=_TILE, subfiletype=int(number > 0), resolution=per_cm, resolutionunit="CENTIMETER")
            else:
                write(level, tile=_TILE, subfiletype=int(number > 0))
            if suffix == "svs" and number == 0:
                _write_thumbnail(write, rgb, levels[-1], mpp, mpp_in_file)


def _write_thumbnail(
    write: Callable[..., object], rgb: np.ndarray, smallest: np.ndarray, mpp: float, mpp_in_file: bool
) -> None:
    """Aperio's second directory: a small image in strips, no level of the pyramid."""
    image = Image.fromarray(smallest)
    image.thumbnail((768, 768))
    small = np.asarray(image)
    description = _description(rgb, small, mpp, mpp_in_file).replace(" (256x256)", "")
    write(small, description=description, rowsperstrip=16)
