"""Shapes of a mask: closing, opening, small pieces and holes; radii and areas in px of the mask."""

import numpy as np
from scipy import ndimage


def grow(mask: np.ndarray, radius: float) -> np.ndarray:
    """Dilation of a bool mask with a disc of `radius` px."""
    return ndimage.distance_transform_edt(~mask) <= radius if mask.any() else mask


def close_mask(mask: np.ndarray, radius: float) -> np.ndarray:
    """Morphological closing of a bool mask with a disc of `radius` px, by distance transforms."""
    if radius < 1 or not mask.any():
        return mask
    margin = int(np.ceil(radius)) + 2
    closed = ndimage.distance_transform_edt(grow(np.pad(mask, margin), radius)) > radius
    return closed[margin:-margin, margin:-margin]


def open_mask(mask: np.ndarray, radius: float) -> np.ndarray:
    """Morphological opening of a bool mask with a disc of `radius` px; beyond the border the mask goes on."""
    if radius < 1 or not mask.any():
        return mask
    return grow(ndimage.distance_transform_edt(mask) > radius, radius) & mask


def drop_small(mask: np.ndarray, min_px: float) -> np.ndarray:
    """Mask without the pieces (joined by edges) of fewer than `min_px` pixels."""
    labels, count = ndimage.label(mask)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    keep = sizes >= min_px
    keep[0] = False
    return keep[labels]


def _holes(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels of what is not mask, and the area of each, 0 for those that touch the border and are no holes."""
    labels, count = ndimage.label(~mask)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    sizes[0] = 0
    for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        sizes[edge] = 0
    return labels, sizes


def fill_small_holes(mask: np.ndarray, min_px: float) -> np.ndarray:
    """Mask with the holes of fewer than `min_px` pixels filled; what touches the border is no hole."""
    labels, sizes = _holes(mask)
    return mask | ((sizes > 0) & (sizes < min_px))[labels]


def keep_largest_holes(mask: np.ndarray, count: int) -> np.ndarray:
    """Mask in each of whose pieces (joined by edges) all holes but the `count` largest are filled."""
    labels, sizes = _holes(mask)
    holes = np.flatnonzero(sizes)
    if not len(holes):
        return mask
    # A hole belongs to the piece that holds the pixel left of its first one.
    pieces, _ = ndimage.label(mask)
    first = np.unique(labels.ravel(), return_index=True)
    corner = dict(zip(first[0].tolist(), first[1].tolist(), strict=True))
    owner = np.array([pieces.ravel()[corner[hole] - 1] for hole in holes.tolist()])
    order = np.lexsort((holes, -sizes[holes], owner))
    rank = np.arange(len(order)) - np.searchsorted(owner[order], owner[order])
    fill = np.zeros(len(sizes), bool)
    fill[holes[order][rank >= count]] = True
    return mask | fill[labels]
