"""Nearest slides by the set similarity of their prototypes, and which prototype corresponds to which.

The similarity of two slides is the largest sum of cosines over one-to-one matchings of their prototypes:
S(i, j) = max over permutations s of sum_k <p_i^k, p_j^s(k)>. The same matching gives the correspondence.
"""

from dataclasses import dataclass
from itertools import permutations

import numpy as np
from scipy.optimize import linear_sum_assignment

from workflow_scripts.config import Neighbours

_ENUMERATE_UP_TO = 4  # 24 permutations; beyond, bounds and exact assignment are cheaper


@dataclass(frozen=True)
class SlideNeighbours:
    """R nearest slides of each of S slides.

    Attributes:
        index: int64 `[S, R]`, the neighbour, -1 where there are fewer.
        similarity: float32 `[S, R]`, S(i, j); 0 where there is none.
        matching: int64 `[S, R, M]`, own prototype -> neighbour's prototype; -1 where there is none.
    """

    index: np.ndarray
    similarity: np.ndarray
    matching: np.ndarray


def optimal_matching(cosines: np.ndarray) -> tuple[float, np.ndarray]:
    """Best one-to-one matching of a `[M, M]` cosine matrix: its sum and the column of each row."""
    rows, columns = linear_sum_assignment(cosines, maximize=True)
    return float(cosines[rows, columns].sum()), columns


def _block_similarity(block: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """S of a block of slides `[b, M, d]` with all `[S, M, d]` by enumeration, `[b, S]`."""
    b, m, d = block.shape
    s = len(vectors)
    cosines = (block.reshape(b * m, d) @ vectors.reshape(s * m, d).T).reshape(b, m, s, m)
    best = np.full((b, s), -np.inf, dtype=np.float32)
    for order in permutations(range(m)):
        total = sum(cosines[:, k, :, order[k]] for k in range(m))
        np.maximum(best, total, out=best)
    return best


def _nearest_by_bound(own: np.ndarray, vectors: np.ndarray, allowed: np.ndarray, count: int) -> np.ndarray:
    """The `count` nearest slides of one slide for many prototypes, exact.

    The sum of row maxima and the sum of column maxima both bound S from above, so slides are matched exactly
    in the order of the smaller bound until no bound left can beat the worst kept.
    """
    candidates = np.flatnonzero(allowed)
    cosines = np.einsum("kd,sld->skl", own, vectors[candidates])
    bound = np.minimum(cosines.max(axis=2).sum(axis=1), cosines.max(axis=1).sum(axis=1))
    kept: list[tuple[float, int]] = []
    for place in np.argsort(-bound, kind="stable"):
        # the slack covers float32 rounding between the bound and the matching's own sum
        if len(kept) == count and bound[place] + 1e-5 < -kept[-1][0]:
            break
        total, _ = optimal_matching(cosines[place])
        kept = sorted([*kept, (-total, int(candidates[place]))])[:count]
    return np.array([slide for _, slide in kept], dtype=np.int64)


def _top(similarity: np.ndarray, allowed: np.ndarray, count: int) -> np.ndarray:
    """Indices of the `count` largest allowed entries, ties by the smaller index."""
    masked = np.where(allowed, similarity, -np.inf)
    order = np.argsort(-masked, kind="stable")[:count]
    return order[allowed[order]]


def find_neighbours(
    vectors: np.ndarray,
    valid: np.ndarray,
    settings: Neighbours,
    patients: list[str] | None = None,
    block: int = 64,
) -> SlideNeighbours:
    """Nearest valid slides of every valid slide; a slide is never its own neighbour.

    Args:
        vectors: float32 `[S, M, d]` unit prototypes.
        valid: bool `[S]`; slides without prototypes neither have nor are neighbours.
        settings: how many, how matched, whether the patient's other slides are left out.
        patients: S patient ids, needed for `exclude_same_patient`.
        block: slides compared with all others at once.
    """
    s, m, _ = vectors.shape
    index = np.full((s, settings.count), -1, dtype=np.int64)
    similarity = np.zeros((s, settings.count), dtype=np.float32)
    matching = np.full((s, settings.count, m), -1, dtype=np.int64)
    owner = np.asarray(patients) if settings.exclude_same_patient and patients is not None else np.arange(s)
    for start in range(0, s, block):
        rows = np.arange(start, min(start + block, s))
        sums = _block_similarity(vectors[rows], vectors) if m <= _ENUMERATE_UP_TO else None
        for place, i in enumerate(rows):
            if not valid[i]:
                continue
            allowed = valid & (owner != owner[i])
            if sums is not None:
                nearest = _top(sums[place], allowed, settings.count)
            else:
                nearest = _nearest_by_bound(vectors[i], vectors, allowed, settings.count)
            for rank, j in enumerate(nearest):
                cosines = vectors[i] @ vectors[j].T
                total, columns = optimal_matching(cosines)
                index[i, rank], similarity[i, rank] = j, total
                matching[i, rank] = columns if settings.matching == "optimal" else cosines.argmax(axis=1)
    return SlideNeighbours(index, similarity, matching)
