"""Soft assignment: a region distils a mixture of its slide's prototypes in place of the one that it is nearest to."""

import numpy as np

from workflow_scripts.slpd.neighbours import SlideNeighbours

_BLOCK = 4096  # regions whose prototypes are gathered at once


def mixtures(
    vectors: np.ndarray, neighbours: SlideNeighbours, slide_index: np.ndarray, shares: np.ndarray, present: np.ndarray
) -> np.ndarray:
    """What each region distils: the sum of its slide's prototypes by its shares, and of the neighbours' matched ones.

    Logits are linear in the bottleneck, so a target is the normalised product of its prototypes' targets, each to the
    power of its share. The sum is not brought to unit length: a region between prototypes has a softer target.

    Args:
        vectors: `[S, M, d]` prototypes.
        neighbours: R of each slide.
        slide_index: int64 `[N]`, the row of `vectors` that each region belongs to.
        shares: `[N, M]`.
        present: bool `[1 + R, N]`, where there is a target.

    Returns:
        `[(1 + R) * N, d]` in the dtype of `vectors`; zeros where there is none.
    """
    t, n = present.shape
    found = np.zeros((t, n, vectors.shape[2]), dtype=vectors.dtype)
    for start in range(0, n, _BLOCK):
        rows = slice(start, start + _BLOCK)
        slide = slide_index[rows]
        for rank in range(t):
            sets = vectors[slide]
            if rank:
                other, matching = neighbours.index[slide, rank - 1], neighbours.matching[slide, rank - 1]
                sets = vectors[np.maximum(other, 0)[:, None], np.maximum(matching, 0)]
            mixed = np.einsum("nm,nmd->nd", shares[rows].astype(vectors.dtype), sets)
            found[rank, rows] = np.where(present[rank, rows, None], mixed, 0)
    return found.reshape(t * n, -1)
