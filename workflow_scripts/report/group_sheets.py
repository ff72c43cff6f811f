"""Which slides and regions the figures of groups show, and these figures with their captions."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from workflow_scripts.report.figure_files import Sheet
from workflow_scripts.report.group_figures import Match, SlideMap, atlas_figure, map_figure, matched_figure
from workflow_scripts.report.inputs import Row
from workflow_scripts.report.pictures import fit
from workflow_scripts.report.prototypes import Pictures, Rectangle

_SLIDE_PX, _CROP_PX = 640, 240
_CROPS, _ATLAS_CROPS = 3, 6


class Groups(NamedTuple):
    """The groups of one run.

    Attributes:
        run: what it is called.
        atlas: rows of `schemas.ATLAS`.
        slides: rows of `schemas.SLIDES` of slides that are drawn and their nearest slides, by id.
        regions: regions of these slides with place, prototype, similarity and group.
        drawn: ids of the slides that are drawn.
        neighbours: nearest slide of each (row of `schemas.NEIGHBOURS`), where there is one.
    """

    run: str
    atlas: list[Row]
    slides: Mapping[str, Row]
    regions: Mapping[str, list[Row]]
    drawn: list[str]
    neighbours: Mapping[str, Row]


def _whole(slide: Row) -> Rectangle:
    return Rectangle(0, 0, slide["width"], slide["height"], *fit(slide["width"], slide["height"], _SLIDE_PX))


def _crop(region: Row) -> Rectangle:
    return Rectangle(region["x"], region["y"], region["size_x"], region["size_y"], _CROP_PX, _CROP_PX)


def _nearest(regions: list[Row], prototype: int) -> list[Row]:
    own = [region for region in regions if region["prototype"] == prototype]
    return sorted(own, key=lambda region: (-region["similarity"], region["region_id"]))[:_CROPS]


def _matched(groups: Groups) -> Iterator[tuple[str, Row, list[tuple[list[Row], list[Row]]]]]:
    """Slides with their nearest slide, and the nearest regions of each prototype and of its match."""
    for slide in groups.drawn:
        row = groups.neighbours.get(slide)
        if row is None or row["neighbour_id"] not in groups.regions:
            continue
        own, other = groups.regions[slide], groups.regions[row["neighbour_id"]]
        pairs = [(_nearest(own, i), _nearest(other, j)) for i, j in enumerate(row["matching"])]
        yield slide, row, [pair for pair in pairs if all(pair)]


def wanted_pixels(groups: Groups) -> dict[str, list[Rectangle]]:
    """Rectangles to read, by slide_id."""
    wanted: dict[str, set[Rectangle]] = {slide: {_whole(groups.slides[slide])} for slide in groups.drawn}
    shown = [region for row in groups.atlas for region in row["nearest"][:_ATLAS_CROPS] if region["x"] is not None]
    shown += [region for _, _, pairs in _matched(groups) for pair in pairs for side in pair for region in side]
    for region in shown:
        wanted.setdefault(region["slide_id"], set()).add(_crop(region))
    return {slide: sorted(places) for slide, places in sorted(wanted.items())}


def group_sheets(groups: Groups, pictures: Pictures) -> Iterator[Sheet]:
    """Map, matched regions and atlas, as far as there is anything to draw."""

    def crops(regions: list[Row]) -> list:
        return [pictures.get((region["slide_id"], _crop(region))) for region in regions]

    if groups.drawn:
        maps = [
            SlideMap(slide, row["width"], row["height"], pictures.get((slide, _whole(row))), groups.regions[slide])
            for slide in groups.drawn
            for row in [groups.slides[slide]]
        ]
        caption = (
            f"Slides (above) and their regions in the colours of the {len(groups.atlas)} groups of the prototypes of "
            f"all slides (below), run {groups.run}."
        )
        yield Sheet("prototype_maps", map_figure(maps, len(groups.atlas)), caption)
    for slide, row, pairs in _matched(groups):
        matches = [
            Match(own[0]["prototype"], own[0]["group"], crops(own), *_other(other), crops(other))
            for own, other in pairs
        ]
        likeness = row["similarity"] / len(row["matching"])
        caption = (
            f"Slide {slide} and its nearest slide {row['neighbour_id']} by the best one-to-one matching of their "
            f"prototypes (mean cosine {likeness:.2f}): a line a prototype, left its nearest regions, right those of "
            f"its match; frames in the colour of the group. Run {groups.run}."
        )
        if matches:
            yield Sheet(f"matched_{slide}", matched_figure(slide, row["neighbour_id"], likeness, matches), caption)
    shown = [[r for r in row["nearest"][:_ATLAS_CROPS] if r["x"] is not None] for row in groups.atlas]
    caption = (
        f"The groups of the prototypes of all slides, run {groups.run}: regions near the centre, the nearest of each "
        "slide first, and beside them how many of the regions of each class lie in the group, of how many."
    )
    yield Sheet("atlas", atlas_figure(groups.atlas, [crops(regions) for regions in shown]), caption)


def _other(regions: list[Row]) -> tuple[int, int]:
    return regions[0]["prototype"], regions[0]["group"]
