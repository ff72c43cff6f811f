"""A read along one axis of a pyramid level: which pixels its outputs need, and in which strips they are read."""

import math
from dataclasses import dataclass
from typing import NamedTuple


def _is_whole(value: float) -> bool:
    return abs(value - round(value)) < 1e-4


@dataclass(frozen=True)
class Axis:
    """A read along one axis: from `first` to `last` px of a level of `size` px, as `count` px."""

    first: float
    last: float
    count: int
    size: int

    @property
    def scale(self) -> float:
        return (self.last - self.first) / self.count

    @property
    def is_whole(self) -> bool:
        """Whether every output pixel covers whole pixels, or so nearly that the far end is off by 0.25 px at most."""
        drift = abs(self.last - self.first - round(self.scale) * self.count)
        return _is_whole(self.first) and _is_whole(self.scale) and round(self.scale) > 0 and drift <= 0.25

    @property
    def is_copy(self) -> bool:
        return self.is_whole and round(self.scale) == 1

    def span(self, start: int, stop: int, whole: bool) -> tuple[int, int]:
        """First pixel and count that outputs `start:stop` need, with the filter's support unless they are whole."""
        if whole:
            return round(self.first) + start * round(self.scale), (stop - start) * round(self.scale)
        margin = math.ceil(max(self.scale, 1.0))
        first = max(0, math.floor(self.first + start * self.scale + 1e-4) - margin)
        last = min(self.size, math.ceil(self.first + stop * self.scale - 1e-4) + margin)
        return first, last - first

    def inside(self, origin: int, start: int, stop: int) -> tuple[float, float]:
        """Outputs `start:stop` as a stretch of the pixels from `origin`."""
        low, high = self.first + start * self.scale - origin, self.first + stop * self.scale - origin
        return max(low, 0.0), min(high, float(self.size - origin))


class Strip(NamedTuple):
    """Part of a read.

    Attributes:
        top, bottom: its outputs.
        first, last: pixels of the level that they need.
        until: where reading for it ends, `last` or later.
    """

    top: int
    bottom: int
    first: int
    last: int
    until: int


def plan_strips(axis: Axis, whole: bool, tile: int, size: int) -> list[Strip]:
    """Strips of at least `size` px of the level, whose readings end with a tile, or with the last pixel needed.

    Args:
        axis: the read.
        whole: every output covers whole pixels (`Axis.is_whole`).
        tile: px of a tile.
        size: px of the level that a strip has at least.
    """
    end = sum(axis.span(0, axis.count, whole))
    strips: list[Strip] = []
    while not strips or strips[-1].bottom < axis.count:
        top = strips[-1].bottom if strips else 0
        first, count = axis.span(top, top + 1, whole)
        until = min(end, _next_multiple(max(first + count, first + size), tile))
        bottom = max(top + 1, min(axis.count, math.ceil((until - axis.first) / axis.scale)))
        while bottom > top + 1 and sum(axis.span(top, bottom, whole)) > until:
            bottom -= 1
        first, count = axis.span(top, bottom, whole)
        strips.append(
            Strip(top, bottom, first, first + count, max(until, min(end, _next_multiple(first + count, tile))))
        )
    return strips


def _next_multiple(value: int, step: int) -> int:
    return -(-value // step) * step
