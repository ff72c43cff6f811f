"""A round's prototypes, assignments and neighbours: as arrays for training, as tables between stages.

Prototypes belong to slides, or all to the cohort: `slide_ids` and `slide_index` are then what `prototypes.owners`
gives, one row named by the empty slide_id.
"""

import numpy as np
import pyarrow as pa

from workflow_scripts.slpd.neighbours import SlideNeighbours
from workflow_scripts.slpd.prototypes import SlidePrototypes


def _lists(rows: np.ndarray, kind: pa.DataType) -> pa.Array:
    """Array `[n, k]` as a list column."""
    offsets = np.arange(0, rows.size + 1, max(1, rows.shape[1]), dtype=np.int32)
    return pa.ListArray.from_arrays(offsets, pa.array(rows.reshape(-1), type=kind))


def _arrays(column: pa.ChunkedArray, width: int) -> np.ndarray:
    """List column without nulls as an array `[n, width]`."""
    return column.combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(-1, width)


def prototype_table(prototypes: SlidePrototypes, slide_ids: list[str], slide_index: np.ndarray) -> pa.Table:
    """One row a prototype of a slide that has prototypes."""
    s, m, d = prototypes.vectors.shape
    own = prototypes.assignment >= 0
    flat = np.asarray(slide_index)[own] * m + prototypes.assignment[own]
    counts = np.bincount(flat, minlength=s * m).reshape(s, m)
    rows = np.flatnonzero(prototypes.valid)
    return pa.table(
        {
            "slide_id": [slide_ids[i] for i in rows for _ in range(m)],
            "prototype": np.tile(np.arange(m, dtype=np.int32), len(rows)),
            "n_regions": counts[rows].reshape(-1),
            "vector": _lists(prototypes.vectors[rows].reshape(-1, d), pa.float32()),
        }
    )


def assignment_table(prototypes: SlidePrototypes, region_slides: list[str], region_ids: list[str]) -> pa.Table:
    """One row a region of a slide that has prototypes."""
    own = np.flatnonzero(prototypes.assignment >= 0)
    return pa.table(
        {
            "slide_id": [region_slides[i] for i in own],
            "region_id": [region_ids[i] for i in own],
            "prototype": prototypes.assignment[own].astype(np.int32),
            "similarity": prototypes.similarity[own],
        }
    )


def neighbour_table(neighbours: SlideNeighbours, slide_ids: list[str]) -> pa.Table:
    """One row a neighbour of a slide, rank 1 the nearest."""
    rows, ranks = np.nonzero(neighbours.index >= 0)
    return pa.table(
        {
            "slide_id": [slide_ids[i] for i in rows],
            "rank": (ranks + 1).astype(np.int32),
            "neighbour_id": [slide_ids[j] for j in neighbours.index[rows, ranks]],
            "similarity": neighbours.similarity[rows, ranks],
            "matching": _lists(neighbours.matching[rows, ranks].astype(np.int32), pa.int32()),
        }
    )


def read_prototypes(
    prototypes: pa.Table, assignments: pa.Table | None, slide_ids: list[str], region_ids: list[str]
) -> SlidePrototypes:
    """Arrays over the given slides and regions; slides and regions not in the tables have no prototypes."""
    place = {slide: i for i, slide in enumerate(slide_ids)}
    width = len(prototypes["vector"][0]) if len(prototypes) else 1
    number = prototypes["prototype"].to_numpy()
    filled = np.zeros((len(slide_ids), 1 + int(number.max(initial=0)), width), dtype=np.float32)
    rows = [place[slide] for slide in prototypes["slide_id"].to_pylist()]
    filled[rows, number] = _arrays(prototypes["vector"], width)
    valid = np.zeros(len(slide_ids), dtype=bool)
    valid[rows] = True
    assignment = np.full(len(region_ids), -1, dtype=np.int64)
    similarity = np.zeros(len(region_ids), dtype=np.float32)
    if assignments is not None:
        region = {name: i for i, name in enumerate(region_ids)}
        index = [region[name] for name in assignments["region_id"].to_pylist()]
        assignment[index] = assignments["prototype"].to_numpy()
        similarity[index] = assignments["similarity"].to_numpy()
    return SlidePrototypes(filled, valid, assignment, similarity)


def read_neighbours(neighbours: pa.Table, slide_ids: list[str], prototypes: int) -> SlideNeighbours:
    """Arrays over the given slides."""
    place = {slide: i for i, slide in enumerate(slide_ids)}
    ranks = neighbours["rank"].to_numpy() - 1
    count = 1 + int(ranks.max()) if len(ranks) else 1
    index = np.full((len(slide_ids), count), -1, dtype=np.int64)
    similarity = np.zeros((len(slide_ids), count), dtype=np.float32)
    matching = np.full((len(slide_ids), count, prototypes), -1, dtype=np.int64)
    rows = np.array([place[slide] for slide in neighbours["slide_id"].to_pylist()], dtype=np.int64)
    index[rows, ranks] = [place[slide] for slide in neighbours["neighbour_id"].to_pylist()]
    similarity[rows, ranks] = neighbours["similarity"].to_numpy()
    matching[rows, ranks] = _arrays(neighbours["matching"], prototypes)
    return SlideNeighbours(index, similarity, matching)
