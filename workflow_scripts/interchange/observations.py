"""What is told of each region or slide beside its embedding: place, group, labels."""

from pathlib import Path
from typing import Any

import numpy as np

from workflow_scripts.core.region_groups import read_region_groups
from workflow_scripts.core.tables import read_meta, read_table

_PLACE = ("x", "y", "size_x", "size_y")
_OF_REGION = (*_PLACE, "tissue_fraction")
# columns of labels.parquet, and what each adds to the name of its task
_TRUTH = {"label": "", "value": "", "time": "_time", "event": "_event"}
_OF_GROUP = ("group", "prototype", "similarity")
# what stands in `obs` beside labels, and the name that a file of AnnData keeps for itself
_TAKEN = {"slide_id", "patient_id", "region_id", *_OF_REGION, *_OF_GROUP, "_index"}
Columns = dict[str, list[Any]]


def label_columns(paths: list[Path], slide_ids: list[str]) -> Columns:
    """Labels of every task for the given slides, null where a slide has none; a column without any is left out.

    A column has its task's name, with `label_` before it where that is the name of another column of regions or slides.
    """
    found: Columns = {}
    for path in paths:
        task, rows = read_meta(path)["task"], {row["slide_id"]: row for row in read_table(path).to_pylist()}
        for column, suffix in _TRUTH.items():
            values = [rows.get(slide, {}).get(column) for slide in slide_ids]
            if any(value is not None for value in values):
                name = f"{task}{suffix}"
                while name in found or name in _TAKEN:
                    name = f"label_{name}"
                found[name] = values
    return found


def region_columns(folder: Path, slide_ids: list[str], region_ids: list[str]) -> Columns:
    """Place (px at level 0) and tissue of each region, from `folder`/{slide}.parquet; null for what is no region."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for slide in dict.fromkeys(slide_ids):
        path = folder / f"{slide}.parquet"
        table = read_table(path, ["region_id", *_OF_REGION]).to_pylist() if path.is_file() else []
        rows |= {(slide, row["region_id"]): row for row in table}
    known = [rows.get(key, {}) for key in zip(slide_ids, region_ids, strict=True)]
    return {name: [row.get(name) for row in known] for name in _OF_REGION}


def centres_um(columns: Columns, mpp: list[tuple[float, float]]) -> np.ndarray | None:
    """Centre of each region from the slide's upper left corner, um, float64 `[N, 2]`; None where places are missing.

    Args:
        columns: of `region_columns`.
        mpp: um/px at level 0 along x and y, of each region's slide.
    """
    if not mpp or None in columns["x"]:
        return None
    x, y, size_x, size_y = (np.array(columns[name], dtype=np.float64) for name in _PLACE)
    return np.asarray(np.stack([x + size_x / 2, y + size_y / 2], axis=1) * np.array(mpp, dtype=np.float64))


def group_columns(groups: Path, assignments: Path, slide_ids: list[str], region_ids: list[str]) -> Columns:
    """Group, prototype and cosine with it of each region, null where it has none; nothing where none has any."""
    known = read_region_groups(assignments, groups).to_pylist()
    of = {(row["slide_id"], row["region_id"]): row for row in known}
    rows = [of.get(key, {}) for key in zip(slide_ids, region_ids, strict=True)]
    if not any(rows):
        return {}
    return {name: [row.get(name) for row in rows] for name in _OF_GROUP}
