"""How much of what differs between a slide's regions its prototypes follow: tissue fraction, colour, place at the rim.

Shares of variance within slides, so that differences between slides, of stain or size, count for nothing.
"""

from typing import Any, NamedTuple

import numpy as np

from workflow_scripts.core.entry import log
from workflow_scripts.slpd.agreement import adjusted_rand_indices

MOST_BY_TISSUE = 0.5
"""Share of the tissue fraction, adjusted for chance, from which on `tell_tissue` warns: most of how much glass a region
holds is then told by its prototype. The demo's true classes explain 0.02 of it (docs/log/glass.md); a cohort on which
prototypes found the true classes no better than plain k-means had 0.91."""


class Explained(NamedTuple):
    """What a clustering explains of a value of the regions.

    Attributes:
        share: eta squared within slides, of squared deviations from the slide's mean: those of the prototypes' means
            over those of the regions. NaN where no slide with two regions has any variance.
        chance: the mean of `share` over all ways to deal each slide's prototypes anew to its regions.
        adjusted: (share - chance) / (1 - chance), 0 by chance and 1 at most: in one slide epsilon squared (Kelley
            1935). NaN where every prototype has one region.
        n_slides: slides whose regions differ in the value.
        n_regions: their regions.
    """

    share: float
    chance: float
    adjusted: float
    n_slides: int
    n_regions: int


def explained(values: np.ndarray, slide: np.ndarray, prototype: np.ndarray) -> Explained:
    """Share of a value's variance within slides that the prototypes explain.

    A slide without variance, or with one region, adds to neither side and is not counted. Sums over slides come before
    the quotient, so a slide counts by its variance. Dealing K prototypes anew to a slide's n regions explains
    (K - 1) / (n - 1) of its variance on average.

    Args:
        values: `[N]` or `[N, d]` numbers; of several, squared deviations are summed. Regions with a NaN are left out.
        slide: int64 `[N]` from 0.
        prototype: int64 `[N]` from 0 within the slide, -1 for none: such regions are left out.
    """
    rows = np.asarray(values, dtype=np.float64).reshape(len(slide), -1)
    own = (prototype >= 0) & np.isfinite(rows).all(axis=1)
    rows, slide = rows[own], slide[own]
    _, cluster = np.unique(np.stack([slide, prototype[own]]), axis=1, return_inverse=True)
    _, slide, sizes = np.unique(slide, return_inverse=True, return_counts=True)
    rows = rows - _means(rows, slide)[slide]
    total = np.bincount(slide, (rows**2).sum(axis=1))
    between = np.bincount(slide, (_means(rows, cluster.ravel())[cluster.ravel()] ** 2).sum(axis=1))
    owner = np.zeros(int(cluster.max(initial=-1)) + 1, dtype=np.int64)
    owner[cluster.ravel()] = slide
    clusters = np.bincount(owner, minlength=len(sizes))
    differs = total > 1e-12 * sizes  # of values about 1, whose squares round at 1e-16
    total, between, sizes, clusters = (part[differs] for part in (total, between, sizes, clusters))
    if not differs.any():
        return Explained(np.nan, np.nan, np.nan, 0, 0)
    share = float(between.sum() / total.sum())
    chance = float((total * (clusters - 1) / (sizes - 1)).sum() / total.sum())
    adjusted = (share - chance) / (1 - chance) if chance < 1 else np.nan
    return Explained(share, chance, float(adjusted), int(differs.sum()), int(sizes.sum()))


def _means(rows: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Mean float64 `[G, d]` of the rows of each group, all of which have some."""
    order = np.argsort(group, kind="stable")
    _, first, sizes = np.unique(group[order], return_index=True, return_counts=True)
    if not len(sizes):
        return np.empty((0, rows.shape[1]))
    means: np.ndarray = np.add.reduceat(rows[order], first, axis=0) / sizes[:, None]
    return means


def rim_share(slide: np.ndarray, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Share of the 8 places around a region that hold no region of its slide, float64 `[N]`: 0 inside, 1 alone.

    Args:
        slide: int64 `[N]` from 0; the lattices of a slide with several count as slides here.
        row: int64 `[N]`, place in the grid of regions.
        column: int64 `[N]`.
    """
    if not len(slide):
        return np.empty(0)
    row, column = row - row.min() + 1, column - column.min() + 1
    height, width = int(row.max()) + 2, int(column.max()) + 2

    def key(down: int, right: int) -> np.ndarray:
        place: np.ndarray = (slide * height + row + down) * width + column + right
        return place

    around = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1) if (down, right) != (0, 0)]
    return 1 - np.mean([np.isin(key(*step), key(0, 0)) for step in around], axis=0)


def region_tissue(tissue: np.ndarray, read_ok: np.ndarray) -> np.ndarray:
    """Tissue fraction float64 `[N]` of whole regions; where nothing could be read there is none.

    Args:
        tissue: `[N, g, g]`, tissue fraction of each patch.
        read_ok: bool `[N, g, g]`, False where a patch is padding or could not be read.
    """
    held: np.ndarray = (tissue * read_ok).mean(axis=(1, 2), dtype=np.float64)
    return held


def tissue_facts(tissue: np.ndarray, slide: np.ndarray, prototype: np.ndarray) -> dict[str, float | None]:
    """Of `explained` for the tissue fraction, what a clustering's metadata hold; null where it is not known.

    Returns:
        `tissue_explained` (the share), `tissue_explained_chance` and `tissue_explained_adjusted`. Arguments as of
        `explained`.
    """
    found = explained(tissue, slide, prototype)
    told = {"": found.share, "_chance": found.chance, "_adjusted": found.adjusted}
    return {f"tissue_explained{key}": None if value != value else value for key, value in told.items()}


def tell_tissue(facts: dict[str, Any], hidden: bool) -> None:
    """Log what `tissue_facts` found, as a warning above `MOST_BY_TISSUE`.

    Args:
        facts: of `tissue_facts`.
        hidden: tokens of glass were not seen where regions were clustered.
    """
    if facts["tissue_explained_adjusted"] is None:
        return
    told = "prototypes explain %.0f %% of how the regions of a slide differ in tissue fraction, %.0f %% by chance"
    numbers = (100 * facts["tissue_explained"], 100 * facts["tissue_explained_chance"])
    if facts["tissue_explained_adjusted"] > MOST_BY_TISSUE:
        told += ": they follow how much glass a region holds; " + (
            "prototypes.adjust: tissue of the run takes that out of what is clustered"
            if hidden
            else "prototypes.mask_glass: true of the run hides it from them"
        )
        log.warning(told, *numbers)
    else:
        log.info(told, *numbers)


def truth_index(slide: np.ndarray, prototype: np.ndarray, classes: np.ndarray) -> tuple[float, int]:
    """Mean adjusted Rand index of prototypes and true classes over the slides with two classes or more, and how many.

    Args:
        slide: int64 `[N]` from 0.
        prototype: int64 `[N]` from 0, -1 for none: such regions are left out.
        classes: int64 `[N]`, 0 for none: likewise.
    """
    own = (prototype >= 0) & (classes > 0)
    slide, prototype, classes = slide[own], prototype[own], classes[own]
    of_class = np.unique(np.stack([slide, classes]), axis=1)[0]
    mixed = np.flatnonzero(np.bincount(of_class, minlength=1) > 1)
    if not len(mixed):
        return np.nan, 0
    return float(adjusted_rand_indices(slide, prototype, classes)[mixed].mean()), len(mixed)
