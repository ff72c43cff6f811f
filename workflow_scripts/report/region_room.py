"""Of which slides the page has room for the regions, and for how many tasks' layers of heads.

Slides that differ in size by ten times share one file, and a browser takes no more than some ten MB of it well. Where
the regions of all are too many, those with the most regions go without, so that most slides have theirs.
"""

from workflow_scripts.report.inputs import Row
from workflow_scripts.report.slide_pages import Plan

_INSIDE, _APART = 17_000_000, 52_000_000
"""Bytes of pictures of slides and of regions in the page, where larger pictures lie in it, and beside it."""
REGION, HEAD = 24, 11
"""Bytes of a region: place, prototype, group and cosine; and rank and weight by a head."""
_OF_REGIONS = {"x", "y", "w", "h", "layers", "times", "attention"}


def region_room(plan: Plan) -> int:
    """Bytes of the page that pictures of slides leave to regions."""
    pictures = len(plan.slides) * plan.most_bytes * 4 // 3  # as text
    return (_APART if plan.apart else _INSIDE) - pictures


def _regions(slide: Row) -> int:
    return (slide["n_regions"] or 0) if slide["status"] == "ok" else 0


def most_tasks(slides: list[Row], room: int) -> int:
    """Tasks whose heads have a layer, at most: as many as leave room for all regions, and one at least.

    Args:
        slides: rows of the tables of slides.
        room: from `region_room`.
    """
    regions = sum(map(_regions, slides))
    return max(1, (room - REGION * regions) // max(1, HEAD * regions))


def without_room(slides: list[Row], room: int, tasks: int) -> set[str]:
    """Ids of the slides whose regions are left out: those with the most, until the others' fit.

    Args:
        slides: rows of the tables of slides.
        room: from `region_room`.
        tasks: layers of heads.
    """
    left, out = room, set()
    for count, slide_id in sorted((_regions(slide), slide["slide_id"]) for slide in slides):
        left -= count * (REGION + HEAD * tasks)
        if left < 0 and count:
            out.add(slide_id)
    return out


def without_regions(page: Row) -> Row:
    """A slide's page, of `slide_pages.slide_page`, that says instead of its regions that there was no room."""
    return {key: value for key, value in page.items() if key not in _OF_REGIONS} | {"no_room": True}
