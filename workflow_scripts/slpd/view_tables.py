"""A new slide's regions, prototypes and nearest slides as tables."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from workflow_scripts.core import schemas
from workflow_scripts.core.patients import same_patient
from workflow_scripts.core.tables import read_table, write_table
from workflow_scripts.slpd.prototypes import SlidePrototypes
from workflow_scripts.slpd.round_tables import prototype_table
from workflow_scripts.slpd.slide_index import Match, SlideIndex
from workflow_scripts.slpd.slide_view import SlideView

_PLACE = ("x", "y", "size_x", "size_y")


def write_view(
    folder: Path, view: SlideView, region_ids: list[str], places: list[dict], index: SlideIndex, round_number: int
) -> list[dict[str, Any]]:
    """Write regions.parquet and prototypes.parquet of a slide; its regions without their vectors, for a page.

    Args:
        folder: of the slide.
        view: the slide, of N regions.
        region_ids: N ids, in the order of the features.
        places: rows of `schemas.REGIONS` of the slide, among them those of all N.
        index: the cohort.
        round_number: of the clustering.
    """
    columns = region_columns(view, region_ids, places, index)
    write_table(folder / "regions.parquet", columns, schemas.APPLIED_REGIONS)
    write_table(folder / "prototypes.parquet", own_prototypes(view), schemas.PROTOTYPES, {"round": round_number})
    return read_table(folder / "regions.parquet", schemas.APPLIED_REGIONS.names[:-1]).to_pylist()


def region_columns(view: SlideView, region_ids: list[str], places: list[dict], index: SlideIndex) -> dict[str, Any]:
    """Columns of `schemas.APPLIED_REGIONS`.

    Args:
        view: the slide, of N regions.
        region_ids: N ids, in the order of the features.
        places: rows of `schemas.REGIONS` of the slide, among them those of all N.
        index: the cohort.
    """
    place = {row["region_id"]: row for row in places}
    nearest = index.nearest_prototypes(view.clustered)
    own = view.assignment >= 0
    return {
        "slide_id": [view.slide_id] * len(region_ids),
        "region_id": region_ids,
        **{key: [place[name][key] for name in region_ids] for key in _PLACE},
        "prototype": pa.array(view.assignment, pa.int32(), mask=~own),
        "similarity": pa.array(view.similarity, pa.float32(), mask=~own),
        "cohort_slide_id": [index.slide_ids[i] for i in nearest.slide],
        "cohort_prototype": nearest.prototype,
        "cohort_similarity": nearest.similarity,
        "vector": list(view.embeddings),
    }


def own_prototypes(view: SlideView) -> pa.Table:
    """Table of `schemas.PROTOTYPES`, empty where the slide has none."""
    there = view.prototypes is not None
    vectors = np.zeros((1, 1, view.clustered.shape[1]), dtype=np.float32)
    found = SlidePrototypes(
        view.prototypes[None] if view.prototypes is not None else vectors,
        np.array([there]),
        view.assignment,
        view.similarity,
    )
    return prototype_table(found, [view.slide_id], np.zeros(len(view.assignment), dtype=np.int64))


def match_rows(
    slide_id: str, matches: list[Match], patient: str | None = None, hidden: dict[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Rows of `schemas.APPLIED_NEIGHBOURS`, rank 1 the nearest.

    Args:
        slide_id: of the new slide.
        matches: the nearest first.
        patient: id of its patient, where it is known.
        hidden: patients of the cohort, from `core.patients`.
    """
    return [
        {
            "slide_id": slide_id,
            "rank": rank,
            "neighbour_id": match.slide_id,
            "similarity": match.similarity,
            "matching": match.matching,
            "same_patient": match.slide_id == slide_id or same_patient(patient, hidden, [match.slide_id]),
        }
        for rank, match in enumerate(matches, 1)
    ]
