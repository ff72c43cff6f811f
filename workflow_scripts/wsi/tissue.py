"""Where the tissue is: one threshold a slide, shapes cleaned in physical units."""

from collections.abc import Callable

import numpy as np
from scipy import ndimage

from workflow_scripts.config import Tissue
from workflow_scripts.wsi.slide_error import SlideError
from workflow_scripts.wsi.tissue_optical_density import FULL_SCALE, optical_density
from workflow_scripts.wsi.tissue_saturation import saturation

# Name in the config -> (score as uint8 0..255, score that 255 stands for).
METHODS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], float]] = {
    "saturation": (saturation, 1.0),
    "optical_density": (optical_density, FULL_SCALE),
}
_BLACK = 24  # a pixel with no channel above this is padding or ink; its saturation is noise


def otsu(histogram: np.ndarray) -> int:
    """Otsu's threshold: bins up to the returned one are one class, the rest the other.

    Maximises the variance between classes (Otsu 1979, doi 10.1109/TSMC.1979.4310076). Where several bins do equally
    well, as between two separate peaks, the middle one is taken.
    """
    counts = np.asarray(histogram, dtype=np.float64)
    bins = np.arange(len(counts))
    below = np.cumsum(counts)
    above = below[-1] - below
    sums = np.cumsum(counts * bins)
    with np.errstate(divide="ignore", invalid="ignore"):
        gap = sums / below - (sums[-1] - sums) / above
        variance = np.where((below > 0) & (above > 0), below * above * gap**2, 0.0)
    best = np.flatnonzero(variance >= variance.max() * (1 - 1e-12))
    return int(best[len(best) // 2]) if variance.max() > 0 else int(np.argmax(counts))


def _refuse_dark_background(rgb: np.ndarray) -> None:
    """Brightfield slides have light behind the tissue; fluorescence has none."""
    dark = np.mean(rgb.max(axis=2) < 64)
    bright = np.mean(rgb.min(axis=2) > 128)
    if dark > 0.5 and bright < 0.05:
        raise SlideError(
            "not_brightfield", f"{dark:.0%} of the slide is dark, as in fluorescence; only brightfield slides are used"
        )


def close_mask(mask: np.ndarray, radius: float) -> np.ndarray:
    """Morphological closing of a bool mask with a disc of `radius` px, by distance transforms."""
    if radius < 1 or not mask.any():
        return mask
    margin = int(np.ceil(radius)) + 2
    wide = np.pad(mask, margin)
    grown = ndimage.distance_transform_edt(~wide) <= radius
    closed = ndimage.distance_transform_edt(grown) > radius
    return closed[margin:-margin, margin:-margin]


def drop_small(mask: np.ndarray, min_px: float) -> np.ndarray:
    """Mask without the pieces (joined by edges) of fewer than `min_px` pixels."""
    labels, count = ndimage.label(mask)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    keep = sizes >= min_px
    keep[0] = False
    return keep[labels]


def fill_small_holes(mask: np.ndarray, min_px: float) -> np.ndarray:
    """Mask with the holes of fewer than `min_px` pixels filled; what touches the border is no hole."""
    labels, count = ndimage.label(~mask)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    fill = sizes < min_px
    fill[0] = True
    for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        fill[edge[edge > 0]] = False
    return fill[labels]


def segment(rgb: np.ndarray, um_per_px: float, settings: Tissue) -> tuple[np.ndarray, float]:
    """Tissue of a whole slide and the threshold that was used.

    Args:
        rgb: uint8 `[h, w, 3]`, the slide at `um_per_px`.
        um_per_px: scale of `rgb`.
        settings: config section `tissue`.

    Returns:
        bool `[h, w]`, and the threshold in the method's unit (saturation 0..1, optical density from 0).

    Raises:
        SlideError: `not_brightfield` for a dark background.
    """
    _refuse_dark_background(rgb)
    method, full_scale = METHODS[settings.method]
    score = method(rgb)
    score[rgb.max(axis=2) <= _BLACK] = 0
    width = 2 * int(settings.smooth_um / um_per_px / 2) + 1
    if width > 1:
        score = ndimage.median_filter(score, size=width, mode="nearest")
    unit = full_scale / 255
    if settings.threshold == "otsu":
        found = (otsu(np.bincount(score.ravel(), minlength=256)) + 0.5) * unit
        threshold = max(found, settings.threshold_min)
    else:
        threshold = settings.threshold
    mask = close_mask(score * unit > threshold, settings.closing_um / um_per_px)
    mask = drop_small(mask, settings.min_area_um2 / um_per_px**2)
    return fill_small_holes(mask, settings.min_hole_um2 / um_per_px**2), float(threshold)


def tissue_mask(rgb: np.ndarray, um_per_px: float, settings: Tissue) -> np.ndarray:
    """Tissue of a whole slide, bool `[h, w]`; see `segment`."""
    return segment(rgb, um_per_px, settings)[0]
