"""The group of each region: that of its prototype."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.tables import read_table


def read_region_groups(assignments: Path | str, groups: Path | str, slides: list[str] | None = None) -> pa.Table:
    """As `join_groups`, of the files assignments.parquet and groups.parquet, of all slides or of those given by id."""
    table = read_table(assignments)
    if slides is not None:
        table = table.filter(pc.is_in(table["slide_id"], pa.array(slides, pa.string())))
    return join_groups(table, read_table(groups))


def join_groups(assignments: pa.Table, groups: pa.Table) -> pa.Table:
    """Regions with prototype and group, in the order of the assignments.

    Args:
        assignments: rows of `schemas.ASSIGNMENTS`.
        groups: rows of `schemas.GROUPS` of the same clustering; prototypes of the whole cohort have an empty slide_id.

    Returns:
        The assignments with three more columns: `group` int32; `to_centre` float32, the cosine of the region's
        prototype with the centre of its group; `row` int64, the prototype's place in `groups`.

    Raises:
        UserError: a prototype has no group, for the two are of different clusterings.
    """
    owners = groups["slide_id"].unique()
    count = 1 + max([0, *(pc.max(x["prototype"]).as_py() or 0 for x in (groups, assignments))])
    place = np.full(len(owners) * count + 1, -1, dtype=np.int64)
    place[_numbers(groups["slide_id"], owners) * count + groups["prototype"].to_numpy()] = np.arange(len(groups))
    own = _numbers(assignments["slide_id"], owners)
    own = np.zeros_like(own) if owners.to_pylist() == [""] else own
    found = place[np.where(own >= 0, own * count + assignments["prototype"].to_numpy(), -1)]
    if (found < 0).any():
        raise UserError("groups.parquet lacks prototypes of assignments.parquet; delete it and run again")
    taken = groups.take(pa.array(found))
    more = {"group": taken["group"], "to_centre": taken["similarity"], "row": pa.array(found)}
    return pa.table({name: assignments[name] for name in assignments.column_names} | more)


def by_slide(regions: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """The slides of a table of regions, each with its rows, in the order in which they first come."""
    slides = regions["slide_id"].unique()
    number = _numbers(regions["slide_id"], slides)
    order = np.argsort(number, kind="stable")
    ends = np.cumsum(np.bincount(number, minlength=len(slides)))[:-1]
    for slide, rows in zip(slides.to_pylist(), np.split(order, ends), strict=True):
        if len(rows):
            yield slide, regions.take(pa.array(rows))


def in_order(regions: pa.Table, region_ids: list[str], column: str = "group") -> np.ndarray:
    """A column of whole numbers from 0, int64 `[N]`, of the regions of these ids; -1 for those not in the table.

    Args:
        regions: of `join_groups`.
        region_ids: N ids.
        column: `group`, `prototype` or `row`.
    """
    place = _numbers(pa.chunked_array([pa.array(region_ids, pa.string())]), regions["region_id"].combine_chunks())
    return np.asarray(np.append(regions[column].to_numpy().astype(np.int64), -1)[place])


def _numbers(column: pa.ChunkedArray, names: pa.Array) -> np.ndarray:
    """Place int64 of each value among `names`, -1 where it is not there."""
    return np.asarray(pc.fill_null(pc.index_in(column, names), -1).to_numpy(), dtype=np.int64)
