"""A picture of the tissue over the whole slide, brought to its raster."""

from typing import TYPE_CHECKING

import numpy as np

from workflow_scripts.core.status import SlideError

if TYPE_CHECKING:
    import pyvips

_STRIP_PX = 16_000_000  # of the picture, held at once
_MAX_LABEL = 16  # a picture of more values than 0 and these is no picture of labels


def fits(file: str, width: int, height: int) -> bool:
    """Whether a picture has the proportions of `width x height` px, to within the rounding to whole px.

    Raises:
        SlideError: `bad_mask`: unreadable.
    """
    import pyvips

    try:
        image = pyvips.Image.new_from_file(file)
    except pyvips.Error as error:
        raise _unreadable(file, error) from error
    return _has_proportions(image, width, height)


def _has_proportions(image: "pyvips.Image", width: int, height: int) -> bool:
    w, h = image.width, image.height
    return bool(abs(w * height / width - h) <= 1 or abs(h * width / height - w) <= 1)


def read_mask_image(file: str, shape: tuple[int, int], width: int, height: int) -> tuple[np.ndarray, int]:
    """Mask of a PNG or TIFF of two values or of labels, of which 0 is glass, over the whole slide at any resolution.

    Args:
        file: the picture.
        shape: rows and columns of the result; a pixel is tissue where at least half of its area is.
        width: of the slide, level-0 px.
        height: of the slide, level-0 px.

    Returns:
        bool `[rows, columns]`, and the largest label (1 where there is one value beside 0).

    Raises:
        SlideError: `bad_mask`: unreadable, neither binary nor of labels, or of other proportions than the slide.
    """
    import pyvips

    try:
        image = pyvips.Image.new_from_file(file)
        if not _has_proportions(image, width, height):
            size = f"{image.width} x {image.height} px and the slide {width} x {height} px"
            raise _bad(file, f"is {size}; it must cover the whole slide, in its proportions")
        if image.hasalpha():
            image = image.flatten(background=0)
        mask = np.empty(shape, bool)
        values: set[int | float] = set()
        rows_at_once = max(1, int(_STRIP_PX / image.width / (image.height / shape[0])))
        for top in range(0, shape[0], rows_at_once):
            bottom = min(top + rows_at_once, shape[0])
            mask[top:bottom] = _strip(image, top / shape[0], bottom / shape[0], (bottom - top, shape[1]), values)
            _check_values(file, values)
    except pyvips.Error as error:
        raise _unreadable(file, error) from error
    return mask, int(max(values)) if len(values) > 2 else 1


def _check_values(file: str, values: set[int | float]) -> None:
    """One value and 0, or the labels 0 to 16."""
    labels = all(value == int(value) and 0 <= value <= _MAX_LABEL for value in values)
    if (len(values) > 1 and 0 not in values) or (len(values) > 2 and not labels):
        raise _bad(
            file,
            f"has other values than a mask's two or the labels 0 to {_MAX_LABEL}; "
            "save it with 0 for glass and 255 for tissue",
        )


def _bad(file: str, what: str) -> SlideError:
    return SlideError("bad_mask", f"the mask {file} {what}")


def _unreadable(file: str, error: Exception) -> SlideError:
    message = " ".join(str(error).split())
    return _bad(file, f"cannot be read ({message}); save it again as PNG or TIFF")


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
