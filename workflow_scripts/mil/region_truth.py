"""The class of each region of a slide that has a map of the true tissue classes."""

from pathlib import Path

import numpy as np

from workflow_scripts.config.truth import names_of, truth_maps
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.tables import read_table
from workflow_scripts.core.truth_map import read_truth_map
from workflow_scripts.mil.agreement import majority_classes

_BOX = ("x", "y", "size_x", "size_y")


def known_maps(folder: str) -> list[Path]:
    """Maps in the folder of `benchmark.region_truth`, by name.

    Raises:
        UserError: there are none.
    """
    maps = truth_maps(folder)
    if not maps:
        raise UserError(f"{folder} holds no {{slide_id}}.npz; correct benchmark.region_truth, or set it to null")
    return maps


def slide_of_map(truth: Path, known: set[str]) -> str | None:
    """The slide that a map is of: it is named by the slide_id, or by the slide's file; None where it is none of them.

    Args:
        truth: the map.
        known: slide_ids.
    """
    return next((name for name in names_of(truth) if name in known), None)


def region_classes(truth: Path, regions: Path, check: Path) -> tuple[list[str], np.ndarray]:
    """Ids of a slide's regions and their majority classes int64 `[n]`, 0 for regions of glass alone.

    Args:
        truth: its map (`core/truth_map.py`).
        regions: its `regions/{slide}.parquet`.
        check: its `check/{slide}.parquet`.

    Raises:
        UserError: the file is no map, or the slide has no known scale.
    """
    facts = read_table(check, ["mpp_x", "mpp_y"]).to_pylist()[0]
    mpp = (facts["mpp_x"], facts["mpp_y"])
    if None in mpp:
        raise UserError(f"{truth} is of a slide whose scale is not known; take it out of the folder of region_truth")
    rows = read_table(regions, ["region_id", *_BOX]).to_pylist()
    known = read_truth_map(truth)
    boxes = np.array([[row[key] for key in _BOX] for row in rows]).reshape(-1, 4)
    return [row["region_id"] for row in rows], majority_classes(known.classes, boxes, mpp, known.um_per_px)
