"""Figures of the groups of prototypes: maps of slides, matched regions of nearest slides, and the atlas."""

from collections.abc import Sequence
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from workflow_scripts.core.colours import group_colour, group_name
from workflow_scripts.report.figures import STYLE
from workflow_scripts.report.inputs import Row

_CLASSES = ("#30363d", "#8a9099", "#c9d0d7", "#5d7f8f", "#a9bfca", "#6f6256", "#b3a794", "#e3ddd2")
_MISSING = np.full((1, 1, 3), 235, dtype=np.uint8)


class SlideMap(NamedTuple):
    """A slide to be drawn: its id, size in px at level 0, picture uint8 `[h, w, 3]` or null, and regions with group."""

    slide_id: str
    width: int
    height: int
    picture: np.ndarray | None
    regions: list[Row]


class Match(NamedTuple):
    """A prototype of a slide, its group, pictures of its nearest regions, and the same of the prototype it matches."""

    prototype: int
    group: int
    pictures: list[np.ndarray | None]
    other_prototype: int
    other_group: int
    other_pictures: list[np.ndarray | None]


def _bare(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _draw_slide(axes: Axes, slide: SlideMap) -> None:
    picture = _MISSING if slide.picture is None else slide.picture
    axes.imshow(picture, extent=(0, slide.width, slide.height, 0), interpolation="lanczos")
    axes.set_xlim(min([0, *(r["x"] for r in slide.regions)]), max([slide.width, *_ends(slide, "x")]))
    axes.set_ylim(max([slide.height, *_ends(slide, "y")]), min([0, *(r["y"] for r in slide.regions)]))
    _bare(axes)


def _ends(slide: SlideMap, axis: str) -> list[int]:
    return [region[axis] + region[f"size_{axis}"] for region in slide.regions]


def map_figure(slides: Sequence[SlideMap], groups: int) -> Figure:
    """Slides in a row, above as they are, below with their regions in the colours of their groups.

    Args:
        slides: at least one.
        groups: G, of the legend.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(1.75 * len(slides) + 0.2, 3.75 + 0.18 * -(-groups // 8)), layout="constrained")
        grid = figure.subplots(2, len(slides), squeeze=False)
        for (above, below), slide in zip(grid.T, slides, strict=True):
            for axes in (above, below):
                _draw_slide(axes, slide)
            above.set_anchor("S")  # slides of different proportions stand on one line
            below.set_anchor("N")
            above.set_title(slide.slide_id.replace("$", r"\$"), fontsize=8)
            for region in slide.regions:
                place = (region["x"], region["y"]), region["size_x"], region["size_y"]
                colour = group_colour(region["group"])
                below.add_patch(Rectangle(*place, facecolor=colour, edgecolor="white", lw=0.5, alpha=0.72))
        _group_legend(figure, groups, 4 if len(slides) < 4 else 8)
        return figure


def _group_legend(figure: Figure, groups: int, columns: int) -> None:
    handles = [Patch(facecolor=group_colour(group), label=group_name(group)) for group in range(groups)]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(columns, groups), fontsize=7.5)


def _crops(axes: Axes, pictures: Sequence[np.ndarray | None], colour: str, room: int) -> None:
    """Pictures side by side, each within a frame of the group's colour."""
    for place in range(room):
        picture = pictures[place] if place < len(pictures) else None
        if picture is not None:
            axes.imshow(picture, extent=(place + 0.03, place + 0.97, 0.97, 0.03), interpolation="lanczos")
            axes.add_patch(Rectangle((place + 0.03, 0.03), 0.94, 0.94, fill=False, edgecolor=colour, lw=1.8))
    axes.set(xlim=(0, room), ylim=(1, 0), aspect="equal")
    _bare(axes)


def matched_figure(slide_id: str, neighbour_id: str, likeness: float, matches: Sequence[Match]) -> Figure:
    """The nearest regions of each prototype of a slide beside those of its match in the nearest slide.

    Args:
        slide_id: the slide.
        neighbour_id: its nearest slide.
        likeness: mean cosine of the matched prototypes.
        matches: one a prototype, at least one.
    """
    room = max([1, *(len(m.pictures) for m in matches), *(len(m.other_pictures) for m in matches)])
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(1.6 * room + 1.5, 0.84 * len(matches) + 0.45), layout="constrained")
        grid = figure.subplots(len(matches), 2, squeeze=False)
        for (own, other), match in zip(grid, matches, strict=True):
            _crops(own, match.pictures, group_colour(match.group), room)
            _crops(other, match.other_pictures, group_colour(match.other_group), room)
            own.set_ylabel(
                f"prototype {match.prototype}\n{group_name(match.group)}", rotation=0, ha="right", va="center"
            )
            text = f"prototype {match.other_prototype}\n{group_name(match.other_group)}"
            other.yaxis.set_label_position("right")
            other.set_ylabel(text, rotation=0, ha="left", va="center")
        names = [name.replace("$", r"\$") for name in (slide_id, neighbour_id)]
        grid[0, 0].set_title(names[0])
        grid[0, 1].set_title(f"{names[1]}, mean cosine {likeness:.2f}")
        return figure


def atlas_figure(atlas: Sequence[Row], pictures: Sequence[Sequence[np.ndarray | None]], room: int = 6) -> Figure:
    """A line a group: its nearest regions, and beside them the share of each class of each task.

    Args:
        atlas: rows of `schemas.ATLAS`.
        pictures: of the nearest regions of each group.
        room: regions of a group at most.
    """
    tasks = list(dict.fromkeys(one["task"] for one in atlas[0]["classes"]))
    widths = [1.0, 0.82 * room, *[1.7] * len(tasks)]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(sum(widths), 0.84 * len(atlas) + 0.75), layout="constrained")
        grid = figure.subplots(len(atlas), len(widths), squeeze=False, width_ratios=widths)
        for line, row, crops in zip(grid, atlas, pictures, strict=True):
            _crops(line[1], crops[:room], group_colour(row["group"]), room)
            _name(line[0], row)
            for axes, task in zip(line[2:], tasks, strict=True):
                _shares(axes, [one for one in row["classes"] if one["task"] == task])
        for axes, task in zip(grid[0, 2:], tasks, strict=True):
            axes.set_title(task, loc="center")
        for axes, task in zip(grid[-1, 2:], tasks, strict=True):
            classes = [one["class"] for one in atlas[0]["classes"] if one["task"] == task]
            handles = [Patch(facecolor=_CLASSES[i % len(_CLASSES)], label=name) for i, name in enumerate(classes)]
            axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0.0), fontsize=7, ncols=1)
        return figure


def _name(axes: Axes, row: Row) -> None:
    axes.text(0, 0.72, group_name(row["group"]), weight="bold", va="center")
    axes.text(
        0, 0.34, f"{row['n_regions']} regions\n{row['n_slides']} slides", va="center", fontsize=7.5, color="#3d444d"
    )
    axes.add_patch(Rectangle((-0.16, 0.08), 0.07, 0.84, color=group_colour(row["group"]), clip_on=False))
    axes.set(xlim=(0, 1), ylim=(0, 1))
    _bare(axes)


def _shares(axes: Axes, classes: Sequence[Row]) -> None:
    """Of each class's regions, how many are in the group: a bar a class, with its number of regions of how many."""
    for place, one in enumerate(classes):
        share = one["n_regions"] / one["class_regions"] if one["class_regions"] else 0.0
        axes.barh(place, share, height=0.8, color=_CLASSES[place % len(_CLASSES)])
        axes.text(share + 0.02, place, f"{one['n_regions']} of {one['class_regions']}", va="center", fontsize=6.5)
    axes.set(xlim=(0, 1), ylim=(len(classes) - 0.4, -0.6))
    _bare(axes)
    axes.axvline(0, color="#8a9099", lw=0.8)
