"""Maps of the true tissue classes of slides, planted or annotated (`benchmark.region_truth`), and those of regions."""

import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.tables import read_table

GLASS = 0
MOST = 65535
"""Largest number of a class."""
_BOX = ("x", "y", "size_x", "size_y")
_DAMAGED = (OSError, EOFError, ValueError, RuntimeError, zlib.error, zipfile.BadZipFile)
"""What reading a file may raise that is damaged, encrypted or packed in an unknown way (a `RuntimeError`)."""
_MEND = "save it anew as docs/tables.md says, or take it out of the folder"


class TruthMap(NamedTuple):
    """Classes of a slide.

    Attributes:
        classes: uint8 or uint16 `[h, w]`, 0 for glass and for what is not known. The first px lies where level 0 of the
            slide begins, rows run down.
        um_per_px: scale, um a px of the map.
    """

    classes: np.ndarray
    um_per_px: float


def require_arrays(path: Path) -> None:
    """Refuse a file that does not hold the arrays of a map, by its table of contents alone.

    Raises:
        UserError: it does not.
    """
    try:  # NumPy would look for a pickle in what is no .npz file
        with zipfile.ZipFile(path) as found:
            there = found.namelist()
    except _DAMAGED:
        raise UserError(f"{path} is no map of classes (no .npz file of NumPy); {_MEND}") from None
    if lacking := [name for name in ("map", "um_per_px") if f"{name}.npy" not in there]:
        raise UserError(f"{path} lacks {' and '.join(lacking)}; {_MEND}")


def read_truth_map(path: Path) -> TruthMap:
    """One map.

    Raises:
        UserError: the file is none, or says something else than a map of classes.
    """
    require_arrays(path)
    try:
        with np.load(path) as found:
            classes, scale = found["map"], found["um_per_px"]
    except _DAMAGED as error:
        why = (str(error) or "it is cut off").splitlines()[0]
        raise UserError(f"{path} is no map of classes ({why}); {_MEND}") from None
    if classes.ndim != 2 or classes.dtype.kind not in "buif" or not classes.size:
        raise UserError(f"{path}: map is {classes.dtype} of shape {list(classes.shape)}, no grid of numbers; {_MEND}")
    whole = classes.dtype.kind != "f" or (classes == np.floor(classes)).all()
    if not (whole and classes.min() >= 0 and classes.max() <= MOST):
        raise UserError(f"{path}: map has values that are no whole numbers from 0 to {MOST}; {_MEND}")
    if scale.size != 1 or scale.dtype.kind not in "uif" or not 0 < float(scale.reshape(-1)[0]) < np.inf:
        raise UserError(f"{path}: um_per_px is no number above 0; {_MEND}")
    # as small as it may be, for maps of whole slides are large
    return TruthMap(classes.astype(np.uint8 if classes.dtype.itemsize == 1 else np.uint16), float(scale.reshape(-1)[0]))


def majority_classes(
    class_map: np.ndarray, boxes: np.ndarray, mpp: tuple[float, float], um_per_px: float
) -> np.ndarray:
    """Commonest class other than glass inside each region.

    Args:
        class_map: uint8 or uint16 `[h, w]`, class of each map px, 0 is glass; map and slide share their origin.
        boxes: `[n, 4]`, x, y, size_x, size_y of each region in level-0 px; may reach over the slide's edge.
        mpp: um/px of the slide at level 0, along x and along y.
        um_per_px: scale of the map.

    Returns:
        int64 `[n]`; 0 where the region holds nothing but glass. Of equally common classes the lower one.
    """
    scale = np.array([mpp[0], mpp[1]]) / um_per_px
    height, width = class_map.shape
    majority = np.zeros(len(boxes), dtype=np.int64)
    for row, (x, y, size_x, size_y) in enumerate(np.asarray(boxes, dtype=np.float64)):
        left, right = (np.clip(round(edge * scale[0]), 0, width) for edge in (x, x + size_x))
        top, bottom = (np.clip(round(edge * scale[1]), 0, height) for edge in (y, y + size_y))
        counts = np.bincount(class_map[top:bottom, left:right].ravel(), minlength=2)
        counts[GLASS] = 0
        majority[row] = counts.argmax() if counts.any() else GLASS
    return majority


def region_classes(truth: Path, regions: Path, check: Path) -> tuple[list[str], np.ndarray]:
    """Ids of a slide's regions and their majority classes int64 `[n]`, 0 for regions of glass alone.

    Args:
        truth: its map.
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
