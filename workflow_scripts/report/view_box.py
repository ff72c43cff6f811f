"""The part of the level-0 plane that a slide's picture shows."""

from collections.abc import Sequence
from typing import Any


def view_box(slide: dict[str, Any], places: dict[str, Sequence[int]]) -> list[int]:
    """Left, top, width and height, level-0 px, that hold the slide and its regions, which may stick out of it.

    Args:
        slide: row of `schemas.CHECK`.
        places: columns x, y, size_x and size_y of its regions, level-0 px; none of them where it has no regions.
    """
    left = top = 0
    right, bottom = slide["width"] or 1, slide["height"] or 1
    for x, y, across, down in zip(*(places.get(name, ()) for name in ("x", "y", "size_x", "size_y")), strict=True):
        left, top = min(left, x), min(top, y)
        right, bottom = max(right, x + across), max(bottom, y + down)
    return [left, top, right - left, bottom - top]
