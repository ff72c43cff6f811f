"""What the groups of prototypes hold: their nearest regions, and their shares of slides and classes."""

from typing import NamedTuple

import numpy as np


class ClassCounts(NamedTuple):
    """Regions and slides of G groups in C classes, int64, of the slides that have a class.

    Attributes:
        regions: `[G, C]`, regions of the group in slides of the class.
        slides: `[G, C]`, slides of the class that have a region in the group.
        class_regions: `[C]`, regions of the class in all groups together.
        class_slides: `[C]`, slides of the class that have a region in any group.
    """

    regions: np.ndarray
    slides: np.ndarray
    class_regions: np.ndarray
    class_slides: np.ndarray


def least_cosine(to_prototype: np.ndarray, to_centre: np.ndarray) -> np.ndarray:
    """Smallest cosine that a region can have with its group's centre, float64 `[N]`.

    Angles on the sphere obey the triangle inequality: cos(a + b) for the angle a of region and prototype and b of
    prototype and centre; -1 where these add up to more than half a turn. The region's own feature, by which the cosine
    itself could be told, is not kept.

    Args:
        to_prototype: `[N]`, cosine of each region with its prototype.
        to_centre: `[N]`, cosine of that prototype with its group's centre.
    """
    cosines = [np.clip(np.asarray(x, dtype=np.float64), -1, 1) for x in (to_prototype, to_centre)]
    angle = np.arccos(cosines[0]) + np.arccos(cosines[1])
    return np.where(angle < np.pi, np.cos(angle), -1.0)


def nearest_regions(
    group: np.ndarray, slide: np.ndarray, cosine: np.ndarray, count: int, groups: int
) -> list[np.ndarray]:
    """Indices of each group's nearest regions: the nearest of every slide first, then the second of each, and so on.

    So one slide does not fill the list, and a group that few slides share shows it by repeating them.

    Args:
        group: int64 `[N]` from 0, the group of each region.
        slide: int64 `[N]`, the slide of each region.
        cosine: `[N]`, nearness to the group's centre; of equally near ones the first is taken.
        count: regions of a group at most.
        groups: G; a group without regions has an empty list.
    """
    order = np.lexsort((np.arange(len(group)), -np.round(cosine, 6), slide, group))
    start = np.ones(len(group), dtype=bool)
    start[1:] = (np.diff(group[order]) != 0) | (np.diff(slide[order]) != 0)
    rank = np.arange(len(group)) - np.maximum.accumulate(np.where(start, np.arange(len(group)), 0))
    within = np.empty(len(group), dtype=np.int64)
    within[order] = rank
    ranked = np.lexsort((np.arange(len(group)), -np.round(cosine, 6), within, group))
    ends = np.cumsum(np.bincount(group, minlength=groups))[:-1]
    return [part[:count] for part in np.split(ranked, ends)]


def slides_of_groups(group: np.ndarray, slide: np.ndarray, groups: int) -> np.ndarray:
    """Slides that have a region in each of G groups, int64 `[G]`."""
    pairs = np.unique(np.stack([group, slide]), axis=1)
    return np.bincount(pairs[0], minlength=groups)


def class_counts(group: np.ndarray, slide: np.ndarray, class_of: np.ndarray, classes: int, groups: int) -> ClassCounts:
    """How the regions of each group are spread over the classes of their slides.

    Args:
        group: int64 `[N]` from 0.
        slide: int64 `[N]` from 0, the slide of each region.
        class_of: int64 `[S]`, the class of each slide, -1 for none: its regions are counted nowhere.
        classes: C.
        groups: G.
    """
    known = class_of[slide] >= 0
    group, slide = group[known], slide[known]
    regions = np.zeros((groups, classes), dtype=np.int64)
    np.add.at(regions, (group, class_of[slide]), 1)
    slides = np.zeros_like(regions)
    pairs = np.unique(np.stack([group, slide]), axis=1)
    np.add.at(slides, (pairs[0], class_of[pairs[1]]), 1)
    present = np.unique(slide)
    return ClassCounts(regions, slides, regions.sum(axis=0), np.bincount(class_of[present], minlength=classes))
