"""What the tissue fraction of regions decides in the clustering of a slide: who forms prototypes, and of what."""

import numpy as np

from workflow_scripts.config import Prototypes

LEAST_WEIGHT = 0.01
"""Weight of a region without tissue, so that a slide of nothing but such regions can be clustered."""


def region_weights(tissue: np.ndarray, settings: Prototypes) -> np.ndarray | None:
    """How much each region of a slide counts in its centroids, float32 `[n]`, 0 not at all; None where all are equal.

    Regions of at least `min_tissue` form prototypes; where these are fewer than `min_regions`, so many of the fullest.

    Args:
        tissue: `[n]`, tissue fraction of the slide's regions.
        settings: of the clustering.
    """
    if settings.min_tissue == 0 and settings.weighting == "none":
        return None
    weights = np.ones(len(tissue), dtype=np.float32)
    if settings.weighting == "tissue":
        weights = np.maximum(tissue, LEAST_WEIGHT).astype(np.float32)
    forming = max(int((tissue >= settings.min_tissue).sum()), settings.min_regions)
    weights[np.argsort(-tissue, kind="stable")[forming:]] = 0
    return weights


def without_tissue(features: np.ndarray, tissue: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """Features float32 `[n, d]` less their least-squares line over the tissue fraction, which may have no slope.

    Args:
        features: float32 `[n, d]`, of a slide.
        tissue: `[n]`, tissue fraction of its regions.
        weights: `[n]` of the regions in the line; None where all are equal.
    """
    own = np.ones(len(tissue)) if weights is None else weights.astype(np.float64)
    centred = tissue - np.average(tissue, weights=own)
    variance = float((own * centred**2).sum())
    if variance <= 1e-12 * own.sum():
        return features
    slope = (own * centred) @ features.astype(np.float64) / variance
    left: np.ndarray = (features - centred[:, None] * slope).astype(np.float32)
    return left
