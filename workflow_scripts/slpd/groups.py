"""The prototypes of all slides in a few groups, and how well two groupings agree.

Prototypes are grouped by their cosines, of which the similarity of two slides is a sum (`core.matching`), with
spherical k-means (Dhillon and Modha 2001): the sum of cosines with the groups' centres is made large. A slide may have
several prototypes in a group. Pretraining matches the prototypes of two slides one-to-one, but a slide of one tissue
has several prototypes of it, and these belong together in an atlas.
"""

from typing import NamedTuple

import faiss
import numpy as np

from workflow_scripts.config import Prototypes
from workflow_scripts.core.directions import unit_vectors
from workflow_scripts.core.seeds import derive_seed
from workflow_scripts.slpd.agreement import adjusted_rand_indices
from workflow_scripts.slpd.prototypes import RegionKMeans

_SEARCH = Prototypes(kmeans="spherical", iterations=20)
_STARTS = (5, 200)  # fewest and most; large cohorts take few, for each looks at all prototypes
_STARTS_OF = 100_000  # prototypes in all starts together, between these
_PASSES = 100  # at most, until no prototype changes its group
_MOVES_OF = 200_000  # prototypes in all moves together, for each looks at all of them
_WORTH = 1e-7  # of the sum of cosines
_NO_GROUP = -1


class Groups(NamedTuple):
    """Groups of P prototypes of d dimensions, numbered by falling number of regions.

    Attributes:
        group: int64 `[P]`, the group of each prototype, from 0.
        similarity: float32 `[P]`, cosine of a prototype and its group's centre.
        centres: float32 `[G, d]`, unit length: the direction of the mean of a group's unit prototypes.
    """

    group: np.ndarray
    similarity: np.ndarray
    centres: np.ndarray


def group_prototypes(vectors: np.ndarray, n_regions: np.ndarray, count: int, seed: int) -> Groups:
    """Groups of prototypes by spherical k-means, the best of several starts; each prototype counts once.

    Args:
        vectors: float32 `[P, d]` of any length, none of zeros; P at least 1.
        n_regions: int64 `[P]`, regions of each prototype, by which groups are numbered alone.
        count: groups that are wanted; as many as there are different prototypes where these are fewer.
        seed: of the starts.
    """
    unit = unit_vectors(vectors.astype(np.float64))
    count = _distinct(unit, count)
    starts = min(max(_STARTS_OF // len(unit), _STARTS[0]), _STARTS[1])
    faiss.omp_set_num_threads(1)  # of this thread: others wait busily for such small sums, and could change last bits
    kmeans = RegionKMeans(count, unit.shape[1], _SEARCH, starts)
    group = kmeans(np.ascontiguousarray(unit, dtype=np.float32), derive_seed(seed, "groups")).assignment
    group = _settled(unit, _moved(unit, _settled(unit, group)))
    sizes, first = np.bincount(group, n_regions), np.unique(group, return_index=True)[1]
    place = np.empty(len(sizes), dtype=np.int64)
    place[np.lexsort((first, -sizes))] = np.arange(len(sizes))
    group = place[group]
    centres = _centres(unit, group)
    similarity = np.einsum("pd,pd->p", unit, centres[group])
    return Groups(group, similarity.astype(np.float32), centres.astype(np.float32))


def _settled(unit: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Each prototype in the group of its nearest centre, and each centre the mean of its members, in turn."""
    for _ in range(_PASSES):
        closer = np.round(unit @ _centres(unit, group).T, 10).argmax(axis=1)
        if np.array_equal(closer, group):
            break
        _, group = np.unique(closer, return_inverse=True)
    return group


def _moved(unit: np.ndarray, group: np.ndarray) -> np.ndarray:
    """One prototype after another moved where the sum of cosines rises most (Dhillon, Guan and Kogan 2002).

    A group contributes the length of its members' sum. Such moves leave solutions that are best only for centres that
    stand still, and make the result depend less on the seed.
    """
    group = group.copy()
    sums = np.stack([unit[group == number].sum(axis=0) for number in range(group.max() + 1)])
    products, rows = unit @ sums.T, np.arange(len(unit))
    for _ in range(_MOVES_OF // len(unit)):
        lengths = np.linalg.norm(sums, axis=1)
        gain = np.sqrt(np.maximum(lengths**2 + 2 * products + 1, 0)) - lengths
        gain[rows, group] = 0
        own = lengths[group]
        loss = own - np.sqrt(np.maximum(own**2 - 2 * products[rows, group] + 1, 0))
        total = gain - np.where(gain > 0, loss[:, None], 0)
        best, to = np.unravel_index(np.round(total, 9).argmax(), total.shape)
        if total[best, to] < _WORTH:
            break
        change = unit @ unit[best]
        for number, sign in ((group[best], -1), (to, 1)):
            sums[number] += sign * unit[best]
            products[:, number] += sign * change
        group[best] = to
    return np.unique(group, return_inverse=True)[1]


def _distinct(unit: np.ndarray, most: int) -> int:
    """How many different directions there are, at most `most`: k-means asks for one a centre."""
    nearest = np.full(len(unit), -1.0)
    for found in range(1, most):
        nearest = np.maximum(nearest, unit @ unit[nearest.argmin()])
        if nearest.min() > 1 - 1e-9:
            return found
    return most


def _centres(unit: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Directions of the means of all groups that have members, by number."""
    order = np.argsort(group, kind="stable")
    starts = np.unique(group[order], return_index=True)[1]
    return unit_vectors(np.add.reduceat(unit[order], starts, axis=0))


def agreement(one: np.ndarray, other: np.ndarray) -> tuple[float | None, int]:
    """Adjusted Rand index of two groupings of the same regions over the whole cohort, and of how many regions.

    Args:
        one: int64 `[N]`, the group of each region, -1 where it has none.
        other: int64 `[N]`, that in the other grouping.

    Returns:
        The index of the regions that have a group in both; None where there are none.
    """
    both = (one != _NO_GROUP) & (other != _NO_GROUP)
    if not both.any():
        return None, 0
    index = adjusted_rand_indices(np.zeros(int(both.sum()), dtype=np.int64), one[both], other[both])
    return float(index[0]), int(both.sum())
