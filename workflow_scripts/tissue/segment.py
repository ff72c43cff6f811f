"""Where the tissue is: one threshold a slide, shapes cleaned in physical units."""

from collections.abc import Callable

import numpy as np
from scipy import ndimage

from workflow_scripts.config import Tissue
from workflow_scripts.core.status import SlideError
from workflow_scripts.tissue.method_clam import blurred_saturation
from workflow_scripts.tissue.method_optical_density import FULL_SCALE, optical_density
from workflow_scripts.tissue.method_saturation import saturation
from workflow_scripts.tissue.shapes import close_mask, drop_small, fill_small_holes, grow, keep_largest_holes

_SIGMA = 3 / 8  # standard deviation of the Gaussian, of the smoothing width


def smooth_colours(rgb: np.ndarray, width_px: float) -> np.ndarray:
    """uint8 `[h, w, 3]` under a Gaussian with 3/8 of `width_px` as standard deviation, rounded.

    Colours are smoothed and not scores: noise of compression averages out in them, whereas saturation turns noise of
    either sign into a positive score.
    """
    if width_px <= 0:
        return rgb
    planes = [
        ndimage.gaussian_filter(rgb[..., c].astype(np.float32), _SIGMA * width_px, mode="nearest") for c in range(3)
    ]
    return np.rint(np.stack(planes, axis=2)).astype(np.uint8)


def _smoothed(score: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray, float], np.ndarray]:
    return lambda rgb, width_px: score(smooth_colours(rgb, width_px))


# Name in the config -> (score of colours and smoothing width in px, as uint8 0..255; score that 255 stands for).
METHODS: dict[str, tuple[Callable[[np.ndarray, float], np.ndarray], float]] = {
    "saturation": (_smoothed(saturation), 1.0),
    "optical_density": (_smoothed(optical_density), FULL_SCALE),
    "clam": (blurred_saturation, 1.0),
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
    dark = np.mean(rgb.max(axis=-1) < 64)
    bright = np.mean(rgb.min(axis=-1) > 128)
    if dark > 0.5 and bright < 0.05:
        raise SlideError(
            "not_brightfield", f"{dark:.0%} of the slide is dark, as in fluorescence; only brightfield slides are used"
        )


def _above(score: np.ndarray, threshold: float, unit: float) -> np.ndarray:
    return score > round(threshold / unit, 6)  # a threshold of 8/255 is 8, not a little less


def _otsu_mask(
    score: np.ndarray, read_ok: np.ndarray, unit: float, rim_px: float, settings: Tissue
) -> tuple[np.ndarray, float]:
    """Mask and threshold by Otsu over the readable pixels, with pale tissue.

    Otsu's threshold lies midway between glass and dense tissue, which is right for the outline of dense tissue and too
    high for fat. What is paler counts too, except within `rim_px` of dense tissue: there it is the smoothed outline.
    """
    found = (otsu(np.bincount(score[read_ok], minlength=256)) + 0.5) * unit
    threshold = max(found, settings.threshold_min)
    dense = _above(score, threshold, unit)
    if settings.pale_factor == 1:
        return dense, threshold
    pale = _above(score, max(settings.pale_factor * found, settings.threshold_min), unit)
    return dense | (pale & ~grow(dense, max(1.0, rim_px))), threshold


def segment(
    rgb: np.ndarray,
    um_per_px: float,
    settings: Tissue,
    ink: np.ndarray | None = None,
    read_ok: np.ndarray | None = None,
) -> tuple[np.ndarray, float]:
    """Tissue of a whole slide and the threshold that was used.

    Args:
        rgb: uint8 `[h, w, 3]`, the slide at `um_per_px`.
        um_per_px: scale of `rgb`.
        settings: config section `tissue`.
        ink: bool `[h, w]`, what is not to be tissue; see `pen_ink`.
        read_ok: bool `[h, w]`, False where `rgb` was not read from the slide: it counts for no threshold.

    Returns:
        bool `[h, w]`, and the threshold in the method's unit (saturation 0..1, optical density from 0).

    Raises:
        SlideError: `not_brightfield` for a dark background.
    """
    read_ok = np.ones(rgb.shape[:2], bool) if read_ok is None else read_ok
    _refuse_dark_background(rgb[read_ok])
    method, full_scale = METHODS[settings.method]
    score = method(rgb, settings.smooth_um / um_per_px)
    score[rgb.max(axis=2) <= _BLACK] = 0
    if ink is not None:
        score[ink] = 0
    unit = full_scale / 255
    if settings.threshold == "otsu":
        mask, threshold = _otsu_mask(score, read_ok, unit, settings.smooth_um / um_per_px / 2, settings)
    else:
        mask, threshold = _above(score, settings.threshold, unit), settings.threshold
    mask = close_mask(mask, settings.closing_um / um_per_px)
    if ink is not None:
        mask &= ~ink
    mask = drop_small(mask, settings.min_area_um2 / um_per_px**2)
    if settings.max_holes is not None:
        mask = keep_largest_holes(mask, settings.max_holes)
    mask = fill_small_holes(mask, settings.min_hole_um2 / um_per_px**2)
    return (mask if ink is None else mask & ~ink), float(threshold)


def tissue_mask(rgb: np.ndarray, um_per_px: float, settings: Tissue) -> np.ndarray:
    """Tissue of a whole slide, bool `[h, w]`; see `segment`."""
    return segment(rgb, um_per_px, settings)[0]
