"""The best one-to-one matching of two sets of prototypes: its sum, bounds of it, and the matching itself.

The likeness of two slides is the largest sum of cosines over one-to-one matchings of their M prototypes:
S(i, j) = max over permutations s of sum_k <p_i^k, p_j^s(k)>. A slide's neighbours in pretraining are chosen by it, and
so are those of a head on sets of prototypes.

A pair of sets enters as its `[M, M]` cosines. Sums and bounds of many pairs at once take `[M, M, L]`, pairs last, so
that every operation runs over contiguous memory; neither depends on which set the rows stand for.
"""

import math
from functools import lru_cache
from itertools import combinations, permutations

import numpy as np

SUMS_UP_TO = 8
"""Prototypes of which `best_sums` cost less than the cosines; beyond, bounds do, or one assignment a pair."""
_LISTED_UP_TO = 5  # 120 permutations of many pairs at once; beyond, one assignment a pair is cheaper
_COSINE_DECIMALS = 12  # float64 sums of 256 products differ in the 16th with their order
SUM_DECIMALS = 10
"""Similarities equal to this many decimals are ties."""
_TILE_COSINES = 2**20


@lru_cache
def _steps(columns: int, rows: int) -> list[list[tuple[int, list[tuple[int, int]]]]]:
    """For 2, 3, ... `rows` rows: each set of as many columns, with its (set less one column, that column)."""
    levels = []
    for size in range(2, rows + 1):
        sets = [(sum(1 << c for c in chosen), chosen) for chosen in combinations(range(columns), size)]
        levels.append([(key, [(key ^ (1 << c), c) for c in chosen]) for key, chosen in sets])
    return levels


def _subset_sums(rows: np.ndarray) -> dict[int, np.ndarray]:
    """Best sum of rows `[R, M, L]` over each set of R columns (a bit mask), each `[L]`; first entries are views."""
    best = {1 << column: rows[0, column] for column in range(rows.shape[1])}
    term = np.empty_like(rows[0, 0])
    for row, sets in zip(rows[1:], _steps(rows.shape[1], len(rows)), strict=True):
        longer = {}
        for key, ((rest, column), *others) in sets:
            total = best[rest] + row[column]
            for rest, column in others:
                np.add(best[rest], row[column], out=term)
                np.maximum(total, term, out=total)
            longer[key] = total
        best = longer
    return best


def best_sums(cosines: np.ndarray) -> np.ndarray:
    """Largest sum over one-to-one matchings of each of L pairs, `[M, M, L]` -> `[L]`.

    Recursion over sets of columns (Held and Karp 1962), from both halves of the rows, which meet: for M = 4 it is
    the best over 6 ways to share out the columns, 47 operations a pair instead of 95; for M = 8, 1,800 instead
    of 320,000.
    """
    m = len(cosines)
    if m == 1:
        return np.array(cosines[0, 0])
    upper, lower = _subset_sums(cosines[: m // 2]), _subset_sums(cosines[m // 2 :])
    every = (1 << m) - 1
    best = np.full(cosines.shape[2], -np.inf, dtype=cosines.dtype)
    term = np.empty_like(best)
    for key, total in upper.items():
        np.add(total, lower[every ^ key], out=term)
        np.maximum(best, term, out=best)
    return best


def sum_bounds(cosines: np.ndarray) -> np.ndarray:
    """Upper bound of the largest sum over one-to-one matchings of each of L pairs, `[M, M, L]` -> `[L]`.

    Row maxima u and then column maxima v of what u leaves satisfy u_k + v_l >= c_kl, so by duality of the
    assignment problem sum u + sum v is a bound; the smaller of this and the same from the columns first.
    """
    bounds = []
    for axis in (0, 1):
        first = cosines.max(axis=axis)
        second = (cosines - np.expand_dims(first, axis)).max(axis=1 - axis)
        bounds.append(first.sum(axis=0) + second.sum(axis=0))
    return np.asarray(np.minimum(*bounds))


def optimal_matchings(cosines: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Best one-to-one matching of each of P pairs.

    Args:
        cosines: float64 `[P, M, M]`, own prototype by the other's.

    Returns:
        float64 `[P]` sums, rounded to `SUM_DECIMALS`, and int64 `[P, M]`, own prototype -> the other's. Of equally
        good matchings of up to five prototypes the lexicographically first is taken; of more, that of the solver.
    """
    p, m, _ = cosines.shape
    cosines = np.round(cosines, _COSINE_DECIMALS)
    if m > _LISTED_UP_TO:
        from scipy.optimize import linear_sum_assignment  # 0.3 s that training, which needs the types alone, saves

        columns = np.array([linear_sum_assignment(pair, maximize=True)[1] for pair in cosines], dtype=np.int64)
        columns = columns.reshape(p, m)
        totals = np.take_along_axis(cosines, columns[:, :, None], axis=2).sum(axis=(1, 2))
        return np.round(totals, SUM_DECIMALS), columns
    pairs_last = np.ascontiguousarray(cosines.transpose(1, 2, 0))
    orders = list(permutations(range(m)))
    sums = np.stack([sum(pairs_last[k, column] for k, column in enumerate(order)) for order in orders])
    sums = np.round(sums, SUM_DECIMALS)
    chosen = sums.argmax(axis=0)
    return sums[chosen, np.arange(p)], np.array(orders, dtype=np.int64)[chosen]


def _unit(sets: np.ndarray) -> np.ndarray:
    """Prototypes `[n, M, d]` at length 1, float64; zeros as they are."""
    lengths = np.linalg.norm(sets.astype(np.float64), axis=2, keepdims=True)
    return sets / np.where(lengths > 0, lengths, 1)


def set_similarities(sets: np.ndarray, others: np.ndarray | None = None) -> np.ndarray:
    """Likeness S(i, j) of all pairs of sets, rounded to `SUM_DECIMALS`, float64 `[n, n]`, or with others `[n, k]`.

    All pairs are solved, among themselves once each: 0.1 s for 1,000 sets of four prototypes on a core, 4 s for sets
    of 16. Beside the result it holds two tiles of a million cosines.

    Args:
        sets: `[n, M, d]` prototypes of any length; cosines with a prototype of zeros are 0.
        others: `[k, M, d]`; None takes the same.
    """
    unit, m = _unit(sets), sets.shape[1]
    theirs = unit if others is None else _unit(others)
    found = np.empty((len(unit), len(theirs)))
    side = max(1, math.isqrt(_TILE_COSINES // m**2))
    for row in range(0, len(unit), side):
        for column in range(row if others is None else 0, len(theirs), side):
            tile = _tile(unit[row : row + side], theirs[column : column + side])
            found[row : row + side, column : column + side] = tile
            if others is None:
                found[column : column + side, row : row + side] = tile.T
    return found


def _tile(own: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Likeness of unit sets `[n, M, d]` with others `[k, M, d]`, float64 `[n, k]`."""
    m, d = own.shape[1:]
    pairs = (own.reshape(-1, d) @ theirs.reshape(-1, d).T).reshape(len(own), m, len(theirs), m)
    if m <= SUMS_UP_TO:
        rounded = np.round(pairs.transpose(1, 3, 0, 2), _COSINE_DECIMALS).reshape(m, m, -1)
        sums = np.round(best_sums(rounded), SUM_DECIMALS)
    else:
        sums, _ = optimal_matchings(pairs.transpose(0, 2, 1, 3).reshape(-1, m, m))
    return sums.reshape(len(own), len(theirs))
