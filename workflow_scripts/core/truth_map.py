"""Maps of the true tissue classes of slides, planted or annotated: `benchmark.region_truth`."""

import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from workflow_scripts.core.errors import UserError

GLASS = 0
MOST = 65535
"""Largest number of a class."""
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
    except (OSError, zipfile.BadZipFile):
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
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is no map of classes ({str(error).splitlines()[0]}); {_MEND}") from None
    if classes.ndim != 2 or classes.dtype.kind not in "buif" or not classes.size:
        raise UserError(f"{path}: map is {classes.dtype} of shape {list(classes.shape)}, no grid of numbers; {_MEND}")
    whole = classes.dtype.kind != "f" or (classes == np.floor(classes)).all()
    if not (whole and classes.min() >= 0 and classes.max() <= MOST):
        raise UserError(f"{path}: map has values that are no whole numbers from 0 to {MOST}; {_MEND}")
    if scale.size != 1 or scale.dtype.kind not in "uif" or not 0 < float(scale.reshape(-1)[0]) < np.inf:
        raise UserError(f"{path}: um_per_px is no number above 0; {_MEND}")
    # as small as it may be, for maps of whole slides are large
    return TruthMap(classes.astype(np.uint8 if classes.dtype.itemsize == 1 else np.uint16), float(scale.reshape(-1)[0]))
