"""Out-of-focus fields of tissue, by how much fine detail their contrast has."""

from typing import NamedTuple, Protocol

import numpy as np
from scipy import ndimage

from workflow_scripts.core.status import SlideError

FIELD_UM, FIELD_MPP = 256.0, 1.0
_MARGIN = 4  # px at a field's border, where the filter sees beyond it
_MIN_COVER = 0.5  # tissue that a field needs


class Readable(Protocol):
    """What is needed of an open slide (`wsi.slide.Slide`)."""

    width: int
    height: int

    def read(self, x: float, y: float, w: float, h: float, out_w: int, out_h: int) -> np.ndarray:
        """Pixels of a rectangle in level-0 px, uint8 `[out_h, out_w, 3]`.

        Raises:
            SlideError: it cannot be read.
        """
        ...


class Fields(NamedTuple):
    """Measured fields of a slide.

    Attributes:
        boxes: float64 `[n, 4]`, left, top, right and bottom in level-0 px.
        focus: float64 `[n]`; see `focus_measure`.
    """

    boxes: np.ndarray
    focus: np.ndarray


def focus_measure(rgb: np.ndarray) -> float:
    """Variance of the Laplacian of a field's brightness over the variance of the brightness; uint8 `[h, w, 3]`.

    The variance of the Laplacian (Pech-Pacheco et al. 2000, doi 10.1109/ICPR.2000.903548) grows with contrast and with
    noise. Dividing by the variance takes the stain's strength out, and the Laplacian is of the brightness under a
    Gaussian of 1 px, which lowers its response to noise 126-fold (20 to 1 / 2 pi).
    """
    grey = rgb.astype(np.float32).mean(axis=2)
    edges = ndimage.gaussian_laplace(grey, 1.0, mode="nearest")[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN]
    return float(edges.var(dtype=np.float64) / (grey.var(dtype=np.float64) + 1))


def tissue_fields(tissue: np.ndarray, width_um: float, height_um: float) -> list[tuple[int, int]]:
    """Rows and columns of the grid of fields, from the slide's corner, that are at least half tissue.

    Args:
        tissue: bool `[h, w]`, laid over the whole slide.
        width_um: width of the slide, um.
        height_um: height of the slide, um.
    """
    sums = np.pad(tissue.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    rows, cols = int(height_um // FIELD_UM), int(width_um // FIELD_UM)
    y = np.rint(np.arange(rows + 1) * FIELD_UM / height_um * tissue.shape[0]).astype(int)
    x = np.rint(np.arange(cols + 1) * FIELD_UM / width_um * tissue.shape[1]).astype(int)
    inside = np.diff(np.diff(sums[np.ix_(y, x)], axis=0), axis=1)
    area = np.maximum(1, np.diff(y)[:, None] * np.diff(x)[None, :])
    return [(int(r), int(c)) for r, c in np.argwhere(inside >= _MIN_COVER * area)]


def measure_focus(slide: Readable, tissue: np.ndarray, mpp_x: float, mpp_y: float, count: int) -> Fields:
    """Focus of at most `count` fields of 256 um, spread evenly over those with tissue, read at 1 um/px.

    Args:
        slide: the open slide; a field that cannot be read is left out.
        tissue: bool `[h, w]`, laid over the slide.
        mpp_x: the slide's scale along x, um/px; coarser than 1 um/px nothing is measured.
        mpp_y: the same along y.
        count: fields that are measured at most.
    """
    found = []
    if max(mpp_x, mpp_y) <= FIELD_MPP * 1.05:
        found = tissue_fields(tissue, slide.width * mpp_x, slide.height * mpp_y)
    chosen = [found[(2 * i + 1) * len(found) // (2 * count)] for i in range(count)] if len(found) > count else found
    step_x, step_y, side = FIELD_UM / mpp_x, FIELD_UM / mpp_y, round(FIELD_UM / FIELD_MPP)
    boxes, focus = [], []
    for row, col in chosen:
        x, y = col * step_x, row * step_y
        try:
            rgb = slide.read(x, y, step_x, step_y, side, side)
        except SlideError:
            continue  # a damaged tile is judged where features are read
        boxes.append((x, y, x + step_x, y + step_y))
        focus.append(focus_measure(rgb))
    return Fields(np.array(boxes, float).reshape(-1, 4), np.array(focus, float))
