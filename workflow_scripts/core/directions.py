"""Directions of vectors."""

import numpy as np

_SHORTEST = 1e-12


def unit_vectors(vectors: np.ndarray) -> np.ndarray:
    """Vectors `[..., d]` at length 1, in their own floating dtype; below a length of 1e-12 they are shorter, or zeros.

    Args:
        vectors: float `[..., d]`.
    """
    scaled: np.ndarray = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), _SHORTEST)
    return scaled
