"""Rows of `schemas.EXPLAINED`: what a clustering follows, beside plain k-means of other features as controls."""

from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from workflow_scripts.config import Prototypes
from workflow_scripts.core.errors import UserError
from workflow_scripts.slpd.agreement import mean_agreement
from workflow_scripts.slpd.explained import explained, rim_share, truth_index
from workflow_scripts.slpd.prototypes import cluster_cohort, cluster_slides

ENOUGH_TISSUE = 0.8
"""Tissue fraction of the regions among which the true classes are looked for a second time."""


class RegionFacts(NamedTuple):
    """What prototypes may follow, of N regions of a cohort, slides contiguous.

    Attributes:
        slide_ids: S ids.
        slide: int64 `[N]`, number of the region's slide.
        tissue: float `[N]`, tissue fraction.
        rim: float `[N]`, see `explained.rim_share`.
        colour: float `[N, 3]`, mean colour, NaN where it is not known.
        classes: int64 `[N]`, true class from 1, 0 where it is not known.
    """

    slide_ids: list[str]
    slide: np.ndarray
    tissue: np.ndarray
    rim: np.ndarray
    colour: np.ndarray
    classes: np.ndarray


def region_facts(regions: pa.Table, colour: np.ndarray, classes: dict[str, int]) -> RegionFacts:
    """What prototypes may follow, of the regions of some slides.

    Args:
        regions: rows of `schemas.REGIONS`, slides contiguous.
        colour: float32 `[N, 3]`, mean colour, NaN where it is not known.
        classes: true class of each region that has one, by region_id.
    """
    region_ids = regions["region_id"].to_pylist()
    lattices = np.array([region.rsplit("_r", 1)[0] for region in region_ids], dtype=object)
    lattice = np.unique(lattices.astype(str), return_inverse=True)[1]
    slides = regions["slide_id"].to_pylist()
    number = {slide: place for place, slide in enumerate(dict.fromkeys(slides))}
    return RegionFacts(
        slide_ids=list(number),
        slide=np.array([number[slide] for slide in slides], dtype=np.int64),
        tissue=regions["tissue_fraction"].to_numpy().astype(np.float64),
        rim=rim_share(lattice, *(regions[name].to_numpy().astype(np.int64) for name in ("grid_row", "grid_col"))),
        colour=colour,
        classes=np.array([classes.get(region, 0) for region in region_ids], dtype=np.int64),
    )


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def explained_row(regions: RegionFacts, prototype: np.ndarray, own: np.ndarray | None) -> dict[str, Any]:
    """Columns of `schemas.EXPLAINED` of one clustering, without its names.

    Args:
        regions: what it may follow.
        prototype: int64 `[N]`, -1 for none.
        own: int64 `[N]`, the run's prototypes, with which it is compared; None for these themselves.
    """
    assigned = prototype >= 0
    row: dict[str, Any] = {"n_slides": len(np.unique(regions.slide[assigned])), "n_regions": int(assigned.sum())}
    for name in ("tissue", "colour", "rim"):
        found = explained(getattr(regions, name), regions.slide, prototype)
        row[name] = {key: _known(getattr(found, key)) for key in ("share", "chance", "adjusted")}
    row["agreement"] = None if own is None else mean_agreement(regions.slide, own, prototype)
    full = np.where(regions.tissue >= ENOUGH_TISSUE, regions.classes, 0)
    for name, classes in (("truth", regions.classes), ("truth_tissue", full)):
        index, slides = truth_index(regions.slide, prototype, classes)
        row |= {name: _known(index), f"{name}_slides": slides}
    return row


def plain_prototypes(
    regions: RegionFacts, vectors: np.ndarray, own: np.ndarray, settings: Prototypes, seed: int
) -> np.ndarray:
    """Prototypes int64 `[N]` by k-means of other features, of the slides that have some: of so many, as often tried.

    All are -1 where too few regions have features for so many prototypes of the cohort.

    Args:
        regions: slides contiguous.
        vectors: float32 `[N, d]`, clustered by their direction; NaN where a region has none.
        own: int64 `[N]`, the run's prototypes, -1 for none.
        settings: of the run's clustering.
        seed: of k-means.
    """
    plain = {"features": "backbone", "kmeans": settings.kmeans, "level": settings.level, "count": settings.count}
    kept = {name: getattr(settings, name) for name in ("min_regions", "iterations", "restarts", "global_count")}
    taken = np.isin(regions.slide, regions.slide[own >= 0]) & np.isfinite(vectors).all(axis=1)
    present, counts = np.unique(regions.slide[taken], return_counts=True)
    cluster = cluster_cohort if settings.level == "global" else cluster_slides
    found = np.full(len(own), -1, dtype=np.int64)
    if len(present):
        names = [regions.slide_ids[number] for number in present]
        with suppress(UserError):  # the run itself was clustered so: the regions that have vectors are too few
            found[taken] = cluster(vectors[taken], names, counts, Prototypes(**plain, **kept), seed).assignment
    return np.where(own >= 0, found, -1)  # regions that the run gives no prototype count in neither


def told(rows: list[dict[str, Any]]) -> str:
    """What rows of `schemas.EXPLAINED` say of the tissue fraction, in a line."""
    shares = [(row, row["tissue"]["share"], row["tissue"]["chance"]) for row in rows]
    parts = [f"{row['run']}, {row['clustering']} {a:.2f} ({b:.2f} by chance)" for row, a, b in shares if a is not None]
    return f"of the variance of the tissue fraction within slides they explain {'; '.join(parts) or 'nothing known'}"
