"""Prototypes by a moving average from one clustering to the next."""

from dataclasses import replace

import numpy as np

from workflow_scripts.core.directions import unit_vectors
from workflow_scripts.core.matching import optimal_matchings
from workflow_scripts.slpd.prototypes import SlidePrototypes


def moving_prototypes(
    found: SlidePrototypes,
    before: SlidePrototypes,
    features: np.ndarray,
    owner: np.ndarray,
    momentum: float,
    unit_length: bool,
) -> SlidePrototypes:
    """New prototypes averaged with those of the clustering before that are matched to them one-to-one.

    The matching is that of the largest sum of cosines, as between slides (`core.matching`). Regions stay with their
    prototypes, whose numbers are the new clustering's. A slide that had no prototypes before keeps its new ones.

    Args:
        found: of this clustering.
        before: of the clustering before, over the same slides.
        features: float32 `[N, d]` that were clustered, of any length.
        owner: int64 `[N]`, the row of `found.vectors` that each region belongs to.
        momentum: share of the former, from 0 to less than 1.
        unit_length: bring the averages to unit length, as prototypes of the bottleneck have it.
    """
    vectors, both = found.vectors.copy(), np.flatnonzero(found.valid & before.valid)
    new, old = (part.vectors[both].astype(np.float64) for part in (found, before))
    cosines = np.einsum("smd,snd->smn", unit_vectors(new), unit_vectors(old))
    matched = np.take_along_axis(old, optimal_matchings(cosines)[1][:, :, None], axis=1)
    averages = momentum * matched + (1 - momentum) * new
    vectors[both] = unit_vectors(averages) if unit_length else averages
    own = found.assignment >= 0
    similarity = found.similarity.copy()
    directions = unit_vectors(vectors)[owner[own], found.assignment[own]]
    similarity[own] = np.einsum("nd,nd->n", unit_vectors(features[own]), directions)
    return replace(found, vectors=vectors, similarity=similarity)
