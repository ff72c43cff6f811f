"""A slide as the set of its prototypes, and as their concatenation in an order that all slides share."""

import numpy as np
from scipy.optimize import linear_sum_assignment

from workflow_scripts.core.directions import unit_vectors

_ROUNDS = 50


def prototype_means(
    vectors: np.ndarray, slide: np.ndarray, prototype: np.ndarray, n_slides: int, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Mean region vector of each prototype of each slide.

    A prototype without regions, and every prototype of a slide that has none because it has too few regions, is the
    mean over the slide's regions.

    Args:
        vectors: float32 `[N, d]`, regions.
        slide: int64 `[N]`, number of each region's slide; every slide has a region.
        prototype: int64 `[N]`, prototype of each region within its slide, -1 for none.
        n_slides: S.
        count: M prototypes a slide.

    Returns:
        float64 `[S, M, d]`, and bool `[S, M]`, whether a region belongs to the prototype.
    """
    whole = np.zeros((n_slides, vectors.shape[1]))
    np.add.at(whole, slide, vectors)
    whole /= np.bincount(slide, minlength=n_slides)[:, None]
    own = prototype >= 0
    flat = slide[own] * count + prototype[own]
    sums, sizes = np.zeros((n_slides * count, vectors.shape[1])), np.bincount(flat, minlength=n_slides * count)
    np.add.at(sums, flat, vectors[own])
    sets = (sums / np.maximum(sizes, 1)[:, None]).reshape(n_slides, count, -1)
    there = (sizes > 0).reshape(n_slides, count)
    return np.where(there[..., None], sets, whole[:, None]), there


def _matched(sets: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """int64 `[S, M]`: the prototype of each set that is matched to each of the reference, by the largest cosine sum."""
    cosines = np.round(np.einsum("md,snd->smn", reference, sets), 12)
    return np.array([linear_sum_assignment(pair, maximize=True)[1] for pair in cosines], dtype=np.int64)


def canonical_order(sets: np.ndarray, complete: np.ndarray, learnt: np.ndarray) -> np.ndarray:
    """Order of each slide's prototypes such that the k-th of one slide answers to the k-th of any other.

    Each slide is matched one-to-one to a reference of the cohort, which is the mean of the prototypes matched to it:
    the two are computed in turn until nothing changes, from the complete set whose prototypes are most unlike each
    other on. Neither step lowers the sum of cosines. Vectors are compared after subtraction of the cohort's mean.
    No label is looked at, and slides that were kept from pretraining change no other slide's order.

    Args:
        sets: float64 `[S, M, d]`.
        complete: bool `[S]`, slides whose prototypes all have regions; where there are any, these alone make the
            reference.
        learnt: bool `[S]`, slides of the cohort that was pretrained on; mean and reference are of these.

    Returns:
        int64 `[S, M]`: the prototype of each slide that stands at each place.
    """
    unit = unit_vectors(sets - sets[learnt].mean(axis=(0, 1)))
    taught = unit[learnt & complete] if (learnt & complete).any() else unit[learnt]
    alike = np.einsum("smd,snd->s", taught, taught)  # sum over all pairs of the set's cosines
    reference, order = taught[np.round(alike, 10).argmin()], np.empty(0, dtype=np.int64)
    for _ in range(_ROUNDS):
        found = _matched(taught, reference)
        if np.array_equal(found, order):
            break
        order = found
        reference = unit_vectors(np.take_along_axis(taught, order[:, :, None], axis=1).mean(axis=0))
    return _matched(unit, reference)
