"""Pairs of slides that can still be among the nearest, kept while estimates of their similarity stream by."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Solve = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Slides i and slides j, int32 `[P]` each -> exact similarities float64 `[P]` and matchings int64 `[P, M]`."""
_EARLY = 2**18  # waiting bounds; solving some of them soon raises what the later ones have to reach


@dataclass(frozen=True)
class Pairs:
    """P pairs of a slide and a candidate.

    Attributes:
        slide: int32 `[P]`.
        other: int32 `[P]`, the candidate.
        value: `[P]`, float32 estimate or float64 exact similarity.
        matching: int64 `[P, M]` of exact ones, `[P, 0]` of estimates.
    """

    slide: np.ndarray
    other: np.ndarray
    value: np.ndarray
    matching: np.ndarray

    def __len__(self) -> int:
        return len(self.slide)

    def __getitem__(self, chosen: np.ndarray) -> "Pairs":
        return Pairs(self.slide[chosen], self.other[chosen], self.value[chosen], self.matching[chosen])


def _joined(parts: list[Pairs]) -> Pairs:
    fields = ("slide", "other", "value", "matching")
    return Pairs(*(np.concatenate([getattr(part, field) for part in parts]) for field in fields))


def _estimates(slide: np.ndarray, other: np.ndarray, value: np.ndarray) -> Pairs:
    return Pairs(slide.astype(np.int32), other.astype(np.int32), value, np.empty((len(slide), 0), dtype=np.int64))


def _ranks(slide: np.ndarray) -> np.ndarray:
    """Place of each entry among those of its slide; equal slides are contiguous."""
    first = np.flatnonzero(np.r_[True, slide[1:] != slide[:-1]]) if len(slide) else np.empty(0, dtype=np.int64)
    return np.arange(len(slide)) - np.repeat(first, np.diff(np.r_[first, len(slide)]))


class Shortlist:
    """The `count` nearest of each of `slides` slides, exact, from estimates of all pairs.

    An estimate is at least the similarity less `slack`. A pair waits while fewer than `count` others of the slide
    are known to be nearer, and is then solved exactly; pairs of equal similarity rank by index.

    Args:
        slides: how many.
        count: nearest wanted of each, below `slides`.
        slack: rounding error of an estimate.
        solve: exact similarities.
        two_sided: an estimate is also at most the similarity plus `slack`, so that it tells what is nearer. Otherwise
            solved pairs alone do, and more of them are solved.
        limit: pairs that wait before they are solved, which bounds the memory.
    """

    def __init__(self, slides: int, count: int, slack: float, solve: Solve, two_sided: bool, limit: int) -> None:
        self.count, self.slack, self.solve, self.two_sided = count, slack, solve, two_sided
        least = 2 * slides * count
        self.limit = max(limit if two_sided else min(limit, _EARLY), least)
        self.low = np.full((slides, count), -np.inf, dtype=np.float32)  # largest lower bounds, ascending
        self.waiting: list[Pairs] = []
        self.n_waiting = 0
        self.solved: list[Pairs] = []  # the nearest so far, in one

    def add(self, slides: np.ndarray, others: np.ndarray, estimates: np.ndarray) -> None:
        """Look at the estimates `[len(slides), len(others)]`, each pair once; -inf for pairs that do not count."""
        hit = np.flatnonzero(estimates.max(axis=1) >= self._threshold(slides))
        if not len(hit):
            return
        slides, estimates = slides[hit], estimates[hit]
        if self.two_sided:
            self._raise_low(slides, others, estimates)
        rows, columns = np.nonzero((estimates >= self._threshold(slides)[:, None]) & (estimates > -np.inf))
        self.waiting.append(_estimates(slides[rows], others[columns], estimates[rows, columns]))
        self.n_waiting += len(rows)
        if self.n_waiting > self.limit:
            self._settle()

    def nearest(self) -> Pairs:
        """The nearest of all slides, by slide and rank, exact."""
        self._settle()
        return self.solved[0]

    def _threshold(self, slides: np.ndarray) -> np.ndarray:
        """Estimates below it are of pairs that cannot be among the nearest."""
        return self.low[slides, 0] - np.float32(self.slack)

    def _raise_low(self, slides: np.ndarray, others: np.ndarray, estimates: np.ndarray) -> None:
        """Account for the lower bounds of the largest estimates of each slide."""
        count = min(self.count, len(others))
        if count == 1:
            top = estimates.argmax(axis=1)[:, None]
        else:
            top = np.argpartition(estimates, len(others) - count, axis=1)[:, len(others) - count :]
        low = np.take_along_axis(estimates, top, axis=1) - np.float32(self.slack)
        merged = np.concatenate([self.low[slides], low], axis=1)
        merged.partition(merged.shape[1] - self.count, axis=1)
        self.low[slides] = np.sort(merged[:, merged.shape[1] - self.count :], axis=1)

    def _settle(self) -> None:
        """Solve what can still be among the nearest and keep the nearest of it, best estimates first."""
        none = np.empty(0, dtype=np.int32)
        waiting = _joined([*self.waiting, _estimates(none, none, np.empty(0, dtype=np.float32))])
        self.waiting, self.n_waiting = [], 0
        waiting = waiting[waiting.value >= self._threshold(waiting.slide)]
        waiting = waiting[np.lexsort((waiting.other, -waiting.value, waiting.slide))]
        rank, start, size = _ranks(waiting.slide), 0, self.count
        while start == 0 or len(waiting):
            now = (rank < start + size) & (waiting.value >= self._threshold(waiting.slide))
            self._solve_and_keep(waiting[now])
            left = (rank >= start + size) & (waiting.value >= self._threshold(waiting.slide))
            waiting, rank = waiting[left], rank[left]
            start, size = start + size, 2 * size

    def _solve_and_keep(self, pairs: Pairs) -> None:
        exact, matching = self.solve(pairs.slide, pairs.other)
        solved = _joined([*self.solved, Pairs(pairs.slide, pairs.other, exact, matching)])
        solved = solved[np.lexsort((solved.other, -solved.value, solved.slide))]
        rank = _ranks(solved.slide)
        self.solved = [solved[rank < self.count]]
        last = solved[rank == self.count - 1]
        bound = np.maximum(self.low[last.slide, 0], (last.value - self.slack).astype(np.float32))
        self.low[last.slide] = np.maximum(self.low[last.slide], bound[:, None])
