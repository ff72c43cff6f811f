"""Which regions suit a cohort's slides: the paper's, or smaller ones where the slides are small.

SLPD clusters the regions of each slide, so a slide must have enough of them. Published are 4 prototypes with 32 regions
or more (TCGA-NSCLC) and 2 with 16 or more (TCGA-BRCA), both with regions of 4096 px: 8 regions a prototype.
"""

from collections.abc import Sequence
from typing import NamedTuple

from workflow_scripts.config import Config

# Patches along a side, the paper's first. 12 would give 32 regions only to slides that have 16 at 4096 px, enough for 2
# prototypes; with fewer than 4 a crop is hardly a crop.
GRIDS = (16, 8, 6, 4)
PUBLISHED = ((4, 32), (2, 16))  # prototypes, and the regions that a slide must have
ENOUGH_SHARE = 0.75  # of the slides must have enough regions
FEWEST = 4  # regions of a slide: two for each of two prototypes


class Layout(NamedTuple):
    """Regions, and what of the pretraining goes with their size.

    Attributes:
        grid: patches along each side of a region.
        global_size: side of a global crop, tokens.
        local_size: side of a local crop, tokens.
        prototypes: prototypes a slide.
        min_regions: slides with fewer regions get L_self alone.
    """

    grid: int
    global_size: int
    local_size: int
    prototypes: int
    min_regions: int


def crop_sizes(grid: int) -> tuple[int, int]:
    """Sides of the global and local crops, tokens, in proportion to the paper's 14 and 6 of 16; the smaller is >= 1."""
    paper = Config()
    crops = paper.pretrain.defaults.crops
    larger = max(2, grid * crops.global_size // paper.regions.grid)
    return larger, max(1, round(grid * crops.local_size / paper.regions.grid))


def share_with(regions: Sequence[int], needed: int) -> float:
    """Share of slides that have so many regions or more; 0 without slides."""
    return sum(count >= needed for count in regions) / max(1, len(regions))


def _layout(grid: int, prototypes: int, min_regions: int) -> Layout:
    return Layout(grid, *crop_sizes(grid), prototypes, min_regions)


def choose_layout(regions: dict[int, list[int]]) -> Layout:
    """The layout nearest to the paper's for which three quarters of the slides have regions enough.

    In this order: the two published settings with regions of 4096 px; the largest smaller region that gives 32; the
    smallest region with 2 prototypes and as many regions as three quarters of the slides have, 16 at most and 4 at
    least. Where nothing was measured it is the paper's.

    Args:
        regions: regions of each measured slide, by grid; the same slides for each of `GRIDS`.
    """
    paper, smallest = GRIDS[0], GRIDS[-1]
    if not regions[paper]:
        return _layout(paper, *PUBLISHED[0])
    tried = [(paper, *setting) for setting in PUBLISHED] + [(grid, *PUBLISHED[0]) for grid in GRIDS[1:]]
    for grid, prototypes, needed in tried:
        if share_with(regions[grid], needed) >= ENOUGH_SHARE:
            return _layout(grid, prototypes, needed)
    prototypes, wanted = PUBLISHED[1]
    reached = (n for n in range(FEWEST, wanted + 1) if share_with(regions[smallest], n) >= ENOUGH_SHARE)
    return _layout(smallest, prototypes, max(reached, default=FEWEST))
