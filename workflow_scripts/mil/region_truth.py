"""Maps of the true tissue classes, and the class of each region of a slide that has one."""

from pathlib import Path

import numpy as np

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.tables import read_table
from workflow_scripts.mil.agreement import majority_classes

_BOX = ("x", "y", "size_x", "size_y")


def truth_maps(folder: str) -> list[Path]:
    """Maps in the folder of `benchmark.region_truth`, by name.

    Raises:
        UserError: there are none.
    """
    maps = sorted(Path(folder).glob("*.npz"))
    if not maps:
        raise UserError(f"{folder} holds no {{slide_id}}.npz; correct benchmark.region_truth, or set it to null")
    return maps


def slide_of_map(truth: Path, known: set[str]) -> str | None:
    """The slide that a map is of: it is named by the slide_id, or by the slide's file; None where it is none of them.

    Args:
        truth: the map.
        known: slide_ids.
    """
    name = truth.stem if truth.stem in known else Path(truth.stem).stem
    return name if name in known else None


def region_classes(truth: Path, regions: Path, check: Path) -> tuple[list[str], np.ndarray]:
    """Ids of a slide's regions and their majority classes int64 `[n]`, 0 for regions of glass alone.

    Args:
        truth: its map, `map` uint8 `[h, w]` of classes, 0 is glass, and `um_per_px`.
        regions: its `regions/{slide}.parquet`.
        check: its `check/{slide}.parquet`.

    Raises:
        UserError: the map lacks one of the two.
    """
    facts = read_table(check, ["mpp_x", "mpp_y"]).to_pylist()[0]
    rows = read_table(regions, ["region_id", *_BOX]).to_pylist()
    with np.load(truth) as planted:
        if not {"map", "um_per_px"} <= set(planted.files):
            raise UserError(f"{truth} lacks `map` or `um_per_px`; make the truth maps again, or unset region_truth")
        boxes = np.array([[row[key] for key in _BOX] for row in rows]).reshape(-1, 4)
        classes = majority_classes(planted["map"], boxes, (facts["mpp_x"], facts["mpp_y"]), float(planted["um_per_px"]))
    return [row["region_id"] for row in rows], classes
