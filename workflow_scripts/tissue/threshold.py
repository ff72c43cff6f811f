"""From a tissue score to a mask: a fixed threshold, or Otsu's with pale tissue."""

import numpy as np

from workflow_scripts.config import Tissue
from workflow_scripts.tissue.shapes import grow


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


def above(score: np.ndarray, threshold: float, unit: float) -> np.ndarray:
    """Where a score, uint8 `[h, w]` in steps of `unit`, is above a threshold in the method's unit, bool `[h, w]`."""
    return score > round(threshold / unit, 6)  # a threshold of 8/255 is 8, not a little less


def otsu_mask(
    score: np.ndarray, read_ok: np.ndarray, unit: float, rim_px: float, settings: Tissue
) -> tuple[np.ndarray, float]:
    """Mask and threshold by Otsu over the readable pixels, with pale tissue.

    Otsu's threshold lies midway between glass and dense tissue, which is right for the outline of dense tissue and too
    high for fat. What is paler counts too, except within `rim_px` of dense tissue: there it is the smoothed outline.

    Args:
        score: uint8 `[h, w]`.
        read_ok: bool `[h, w]`; the others count for no threshold.
        unit: of a step of the score, in the method's unit.
        rim_px: px of the smoothed outline.
        settings: config section `tissue`.

    Returns:
        bool `[h, w]`, and the threshold of dense tissue in the method's unit.
    """
    found = (otsu(np.bincount(score[read_ok], minlength=256)) + 0.5) * unit
    threshold = max(found, settings.threshold_min)
    dense = above(score, threshold, unit)
    if settings.pale_factor == 1:
        return dense, threshold
    pale = above(score, max(settings.pale_factor * found, settings.threshold_min), unit)
    return dense | (pale & ~grow(dense, max(1.0, rim_px))), threshold
