"""A binary picture over the whole slide, brought to the raster of the tissue."""

from typing import TYPE_CHECKING

import numpy as np

from workflow_scripts.core.status import SlideError

if TYPE_CHECKING:
    import pyvips

_STRIP_PX = 16_000_000  # of the picture, held at once


def read_mask_image(file: str, shape: tuple[int, int], width: int, height: int) -> np.ndarray:
    """Mask of a PNG or TIFF with two values, of which 0 is glass, over the whole slide at any resolution.

    Args:
        file: the picture.
        shape: rows and columns of the result; a pixel is tissue where at least half of its area is.
        width: of the slide, level-0 px.
        height: of the slide, level-0 px.

    Returns:
        bool `[rows, columns]`.

    Raises:
        SlideError: `bad_mask`: unreadable, not binary, or of other proportions than the slide.
    """
    import pyvips

    try:
        image = pyvips.Image.new_from_file(file)
        _check_proportions(file, image.width, image.height, width, height)
        if image.hasalpha():
            image = image.flatten(background=0)
        mask = np.empty(shape, bool)
        values: set[int | float] = set()
        rows_at_once = max(1, int(_STRIP_PX / image.width / (image.height / shape[0])))
        for top in range(0, shape[0], rows_at_once):
            bottom = min(top + rows_at_once, shape[0])
            mask[top:bottom] = _strip(image, top / shape[0], bottom / shape[0], (bottom - top, shape[1]), values)
            if len(values) > 2 or (len(values) == 2 and 0 not in values):
                raise _bad(file, "has more than the two values of a mask; save it with 0 for glass and 255 for tissue")
    except pyvips.Error as error:
        message = " ".join(str(error).split())
        raise _bad(file, f"cannot be read ({message}); save it again as PNG or TIFF") from error
    return mask


def _bad(file: str, what: str) -> SlideError:
    return SlideError("bad_mask", f"the mask {file} {what}")


def _check_proportions(file: str, w: int, h: int, width: int, height: int) -> None:
    """A picture scaled to the slide may miss its proportions by the rounding to whole px."""
    if abs(w * height / width - h) > 1 and abs(h * width / height - w) > 1:
        raise _bad(
            file,
            f"is {w} x {h} px and the slide {width} x {height} px; it must cover the whole slide, in its proportions",
        )


def _strip(
    image: "pyvips.Image", first: float, last: float, shape: tuple[int, int], values: set[int | float]
) -> np.ndarray:
    """Rows `first..last` (shares of the height) of the picture at `shape`; adds the pixel values that it met."""
    y0, y1 = first * image.height, last * image.height
    top, bottom = int(y0), min(image.height, int(np.ceil(y1 - 1e-9)))
    pixels = image.crop(0, top, image.width, bottom - top).numpy()
    values.update(np.unique(pixels).tolist())
    tissue = pixels != 0 if pixels.ndim == 2 else (pixels != 0).any(axis=2)
    edges = np.linspace(y0 - top, min(y1 - top, bottom - top), shape[0] + 1)
    rows = _means(tissue, edges)
    return _means(rows.T, np.linspace(0, image.width, shape[1] + 1)).T >= 0.5 - 1e-6


def _means(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Means of rows between edges, float64 `[len(edges) - 1, columns]`; a row that an edge cuts counts by its part."""
    sums = np.pad(np.cumsum(values, axis=0, dtype=np.float64), ((1, 0), (0, 0)))
    whole = np.minimum(edges.astype(int), len(values) - 1)
    at = sums[whole] + (edges - whole)[:, None] * values[whole]
    return np.diff(at, axis=0) / np.diff(edges)[:, None]
