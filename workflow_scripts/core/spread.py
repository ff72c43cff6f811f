"""Some of many, at even distances."""

from collections.abc import Sequence
from typing import Any


def spread(items: Sequence[Any], count: int) -> list[Any]:
    """At most `count` items at even distances, in order."""
    if len(items) <= count:
        return list(items)
    return [items[(2 * i + 1) * len(items) // (2 * count)] for i in range(count)]
