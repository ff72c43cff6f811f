"""Nearest slides by the set similarity of their prototypes, and which prototype corresponds to which.

The similarity of two slides is that of `core.matching`. The same matching gives the correspondence.

All pairs of slides are looked at once, tile by tile in float32: the cosines of a tile are a few matrix products,
from which follow the similarities (up to eight prototypes) or upper bounds of them. What can still be among the
nearest within rounding error is solved in float64, so the result is exact and depends on neither tiles nor threads.
"""

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from workflow_scripts.config import Neighbours
from workflow_scripts.core.matching import SUMS_UP_TO, best_sums, optimal_matchings, sum_bounds
from workflow_scripts.slpd.shortlist import Shortlist

_TILE_PAIRS = 2**15  # of slides; a larger tile leaves the cache
_TILE_COSINES = 2**20
_SOLVE_BYTES = 2**22  # prototypes in float64 of the pairs that are solved at once


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


def find_neighbours(
    vectors: np.ndarray,
    valid: np.ndarray,
    settings: Neighbours,
    patients: Sequence[Hashable] | None = None,
    threads: int = 1,
    memory: int = 2**30,
) -> SlideNeighbours:
    """Nearest valid slides of every valid slide; a slide is never its own neighbour.

    Slides whose similarities agree to ten decimals rank by the smaller index. With `argmax` the neighbours are
    the same and each prototype maps to the neighbour's most similar one, the first of equally similar ones.

    Args:
        vectors: float32 `[S, M, d]` prototypes of any length; cosines with a prototype of zeros are 0.
        valid: bool `[S]`; slides without prototypes neither have nor are neighbours.
        settings: how many, how matched, whether the patient's other slides are left out.
        patients: S patient ids, needed for `exclude_same_patient`.
        threads: tiles at once, each on one thread.
        memory: bytes of scratch beyond a copy of the vectors and the result; tiles shrink to fit.

    Raises:
        ValueError: patients are missing or not one a slide, or a valid slide's prototypes are not finite.
    """
    s, m, _ = vectors.shape
    if patients is not None and len(patients) != s:
        raise ValueError(f"{len(patients)} patients given for {s} slides")
    owners = patients if settings.exclude_same_patient else range(s)
    if owners is None:
        raise ValueError("exclude_same_patient needs the patients of the slides")
    index = np.full((s, settings.count), -1, dtype=np.int64)
    similarity = np.zeros((s, settings.count), dtype=np.float32)
    matching = np.full((s, settings.count, m), -1, dtype=np.int64)
    slides = np.flatnonzero(valid)
    if len(slides) > 1:
        count = min(settings.count, len(slides) - 1)
        search = _Search(unit_prototypes(vectors, slides), _codes(owners)[slides], memory, threads)
        i, rank, j, value, columns = search.nearest(count, settings.matching == "argmax")
        index[slides[i], rank], similarity[slides[i], rank], matching[slides[i], rank] = slides[j], value, columns
    return SlideNeighbours(index, similarity, matching)


def count_same_patient(index: np.ndarray, patients: Sequence[Hashable]) -> int:
    """How many of the neighbours `[S, R]` (-1: none) are slides of the slide's own patient."""
    codes = _codes(patients)
    rows, ranks = np.nonzero(index >= 0)
    return int((codes[rows] == codes[index[rows, ranks]]).sum())


def _codes(names: Sequence[Hashable]) -> np.ndarray:
    """Number of each name, equal for equal names."""
    known: dict[Hashable, int] = {}
    return np.array([known.setdefault(name, len(known)) for name in names], dtype=np.int64)


def unit_prototypes(vectors: np.ndarray, slides: np.ndarray) -> np.ndarray:
    """Unit prototypes of the given slides, float32 `[M, slides, d]`, rows of zeros as they are."""
    _, m, d = vectors.shape
    unit = np.empty((m, len(slides), d), dtype=np.float32)
    step = max(1, _SOLVE_BYTES // (8 * m * max(1, d)))
    for start in range(0, len(slides), step):
        part = vectors[slides[start : start + step]].astype(np.float64)
        norms = np.sqrt(np.einsum("smd,smd->sm", part, part))
        if not np.isfinite(norms).all():
            raise ValueError("prototypes of a valid slide are not finite")
        part /= np.where(norms > 0, norms, 1)[:, :, None]
        unit[:, start : start + step] = part.transpose(1, 0, 2)
    return unit


def _ahead(pool: Executor | None, work: Callable[..., Any], tasks: Iterable[tuple], depth: int) -> Iterator[Any]:
    """Results in the order of the tasks, computed at most `depth` tasks ahead; without a pool one by one."""
    if pool is None:
        yield from (work(*task) for task in tasks)
        return
    running: deque = deque()
    for task in tasks:
        running.append(pool.submit(work, *task))
        if len(running) > depth:
            yield running.popleft().result()
    while running:
        yield running.popleft().result()


class _Search:
    """Nearest of all slides.

    Args:
        unit: float32 `[M, S, d]` prototypes.
        owner: int64 `[S]`; slides of one owner are no neighbours.
        memory: bytes of scratch.
        threads: tiles at once.
    """

    def __init__(self, unit: np.ndarray, owner: np.ndarray, memory: int, threads: int) -> None:
        self.unit, self.owner, self.threads = unit, owner, max(1, threads)
        self.m, self.s, self.d = unit.shape
        self.sums = self.m <= SUMS_UP_TO
        work = self.m**2 + max(2 * self.m**2, 2**self.m if self.sums else 0)  # float32 a pair: cosines, sums
        fits = memory // 2 // (4 * work * self.threads)
        pairs = max(1, min(fits, _TILE_PAIRS, _TILE_COSINES // self.m**2))
        self.height = max(1, min(256 // self.m, int(pairs**0.5), self.s))
        self.width = max(1, min(pairs // self.height, self.s))
        self.limit = memory // 4 // 100  # a waiting pair with its share of sorting
        self.pool: Executor | None = None

    def nearest(self, count: int, argmax: bool) -> tuple[np.ndarray, ...]:
        """Slide, rank, neighbour, similarity and matching of every neighbour, `[P]` each and `[P, M]`."""
        from threadpoolctl import threadpool_limits

        slack = self.m * (self.d + 2 * self.m + 16) * 2.0**-24  # float32 sums of d products, then of M cosines
        shortlist = Shortlist(self.s, count, slack, self._solve, self.sums, self.limit)
        with threadpool_limits(1, user_api="blas"), self._threads() as self.pool:
            for rows, columns, tile in _ahead(self.pool, self._tile, self._tiles(), self.threads + 1):
                shortlist.add(rows, columns, tile)
                later = columns >= rows[-1] + 1  # the others' tiles hold both directions of their pairs
                if later.any():
                    shortlist.add(columns[later], rows, np.ascontiguousarray(tile[:, later].T))
            pairs = shortlist.nearest()
            matching = self._most_similar(pairs.slide, pairs.other) if argmax else pairs.matching
        rank = np.arange(len(pairs)) - np.searchsorted(pairs.slide, pairs.slide)
        return pairs.slide, rank, pairs.other, pairs.value.astype(np.float32), matching

    def _threads(self) -> Any:
        return ThreadPoolExecutor(self.threads) if self.threads > 1 else nullcontext()

    def _tiles(self) -> Iterator[tuple[int, int]]:
        """First row and first column of the tiles of the upper triangle."""
        for row in range(0, self.s, self.height):
            yield from ((row, column) for column in range(row, self.s, self.width))

    def _tile(self, row: int, column: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows, columns and estimates `[rows, columns]`; -inf for pairs of one owner."""
        rows = np.arange(row, min(row + self.height, self.s))
        columns = np.arange(column, min(column + self.width, self.s))
        own = self.unit[:, rows[0] : rows[-1] + 1].reshape(-1, self.d)
        cosines = np.empty((self.m, len(own), len(columns)), dtype=np.float32)
        for other, out in zip(self.unit[:, columns[0] : columns[-1] + 1], cosines, strict=True):
            np.matmul(own, other.T, out=out)
        estimates = (best_sums if self.sums else sum_bounds)(cosines.reshape(self.m, self.m, -1))
        estimates = estimates.reshape(len(rows), len(columns))
        estimates[self.owner[rows][:, None] == self.owner[columns]] = -np.inf
        return rows, columns, estimates

    def _cosines(self, i: np.ndarray, j: np.ndarray) -> np.ndarray:
        """Float64 cosines `[P, M, M]` of pairs of slides."""
        own, other = (self.unit[:, slides].transpose(1, 0, 2).astype(np.float64, order="C") for slides in (i, j))
        return own @ other.transpose(0, 2, 1)

    def _solve(self, i: np.ndarray, j: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Exact similarities `[P]` and optimal matchings `[P, M]` of pairs of slides."""
        parts = list(self._in_parts(lambda a, b: optimal_matchings(self._cosines(a, b)), i, j))
        return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])

    def _most_similar(self, i: np.ndarray, j: np.ndarray) -> np.ndarray:
        """The neighbour's most similar prototype of each own one, `[P, M]`."""
        parts = self._in_parts(lambda a, b: np.round(self._cosines(a, b), 12).argmax(axis=2), i, j)
        return np.concatenate(list(parts))

    def _in_parts(self, work: Callable[..., Any], i: np.ndarray, j: np.ndarray) -> Iterator[Any]:
        step = max(1, _SOLVE_BYTES // (2 * 8 * self.m * max(1, self.d)))
        parts = ((i[k : k + step], j[k : k + step]) for k in range(0, max(1, len(i)), step))
        return _ahead(self.pool, work, parts, self.threads)
