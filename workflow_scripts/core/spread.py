"""Some of many, at even distances."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def spread(items: Sequence[Any], count: int) -> list[Any]:
    """At most `count` items at even distances, in order."""
    if len(items) <= count:
        return list(items)
    return [items[(2 * i + 1) * len(items) // (2 * count)] for i in range(count)]


def spread_by_class(slide_ids: Iterable[str], class_of: Mapping[str, str], count: int) -> list[str]:
    """At most `count` slides at even distances in the order of class and id, so that classes have their shares.

    Args:
        slide_ids: to choose from.
        class_of: class of each; slides without one come last.
        count: slides, at most.
    """
    return spread(sorted(slide_ids, key=lambda one: (one not in class_of, class_of.get(one, ""), one)), count)
