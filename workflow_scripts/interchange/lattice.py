"""The lattices that a slide's patches lie on.

TRIDENT, slide2vec and STAMP lay one lattice over a slide; STAMP's has small jumps where its pieces of a slide meet.
CLAM lays one over each contour of tissue, from the corner of its bounding box, so a slide has as many as contours.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from workflow_scripts.core.status import SlideError

# How far a step may be from a whole number of patch widths: rounding to px, and STAMP's jumps of some px.
TOLERANCE, TOLERANCE_PX = 0.01, 1.5
_MOST_CELLS = 50_000_000


@dataclass(frozen=True)
class Lattice:
    """Patches in rows and columns of one step.

    Attributes:
        members: int64 `[n]`, numbers of the patches.
        rows, cols: int64 `[n]`, their cells, counted from the cell at the slide's corner.
        xs, ys: float64 `[n]`, their corners, level-0 px.
        step: float64 `[2]`, width and height of a cell, level-0 px.
    """

    members: np.ndarray
    rows: np.ndarray
    cols: np.ndarray
    xs: np.ndarray
    ys: np.ndarray
    step: np.ndarray

    def corner(self, row: int, col: int) -> tuple[int, int]:
        """x and y of a cell, level-0 px: those of the patches of its column and row, or of the nearest ones'."""
        return _position(self.cols, self.xs, col, self.step[0]), _position(self.rows, self.ys, row, self.step[1])


def _position(cells: np.ndarray, places: np.ndarray, cell: int, step: float) -> int:
    nearest = int(np.abs(cells - cell).argmin())
    return int(np.rint(places[nearest] + (cell - cells[nearest]) * step))


def _cells(places: np.ndarray, size: float) -> tuple[np.ndarray, float] | None:
    """Cells along one axis, int64 `[n]`, and their step; None where a gap is no whole number of widths.

    Gaps are rounded one by one, so that a width that is a little off does not add up over a slide.
    """
    unique, inverse = np.unique(places, return_inverse=True)
    gaps = np.diff(unique)
    counts = np.rint(gaps / size)
    allowed = np.minimum(np.maximum(TOLERANCE * size, TOLERANCE_PX) * np.maximum(counts, 1), size / 4)
    if (np.abs(gaps - counts * size) > allowed).any():
        return None
    index = np.concatenate([[0.0], counts.cumsum()])
    step = float((unique[-1] - unique[0]) / index[-1]) if index[-1] else size
    first = np.floor(unique[0] / step + 0.25)
    return (index[inverse] + first).astype(np.int64), step


def _fit(members: np.ndarray, coords: np.ndarray, size: tuple[float, float]) -> Lattice | None:
    """One lattice through all these patches, None where there is none with one patch a cell at most."""
    xs, ys = coords[members].T
    across, down = _cells(xs, size[0]), _cells(ys, size[1])
    if across is None or down is None:
        return None
    (cols, step_x), (rows, step_y) = across, down
    if len(np.unique(np.stack([rows, cols]), axis=1).T) < len(members):
        return None
    return Lattice(members, rows, cols, xs, ys, np.array([step_x, step_y]))


def _overlapping(coords: np.ndarray, size: tuple[float, float]) -> float:
    """Share of the patches that cover part of another."""
    pairs = cKDTree(coords / np.array(size)).query_pairs(1 - 2 * TOLERANCE, p=np.inf, output_type="ndarray")
    return len(np.unique(pairs)) / len(coords)


def _by_phase(coords: np.ndarray, size: tuple[float, float]) -> list[np.ndarray] | None:
    """Patches that are whole widths apart, as CLAM's contours; None where they are not mostly beside each other."""
    whole = np.rint(size)
    phase = np.mod(np.rint(coords), whole)
    _, group = np.unique(phase, axis=0, return_inverse=True)
    group = group.ravel()
    cells = np.column_stack([group, np.rint((np.rint(coords) - phase) / whole)])
    present = set(map(tuple, cells.tolist()))
    sides = ((1, 0), (-1, 0), (0, 1), (0, -1))
    beside = sum(any((g, x + dx, y + dy) in present for dx, dy in sides) for g, x, y in present)
    if beside < len(coords) / 2:
        return None
    return [np.flatnonzero(group == number) for number in range(group.max() + 1)]


def patch_width(file: str, coords: np.ndarray) -> float:
    """Width of patches that lie side by side: the commonest step within rows and columns, level-0 px.

    Raises:
        SlideError: `no_mpp`: no two patches share a row or a column.
    """
    steps = []
    for along, across in ((0, 1), (1, 0)):
        order = np.lexsort((coords[:, along], coords[:, across]))
        same = np.diff(coords[order, across]) == 0
        steps.append(np.diff(coords[order, along])[same])
    found, counts = np.unique(np.concatenate(steps), return_counts=True)
    if not len(found):
        raise SlideError(
            "no_mpp", f"{file} does not tell how wide its patches are; set source.coords_folder, or mpp and patch_px"
        )
    return float(found[counts.argmax()])


def find_lattices(file: str, coords: np.ndarray, size: tuple[float, float]) -> list[Lattice]:
    """The lattices of a slide's patches, from the uppermost.

    Args:
        file: for messages.
        coords: float64 `[N, 2]`, upper left corners, level-0 px, no two alike.
        size: width and height of a patch, level-0 px.

    Raises:
        SlideError: `irregular_grid`: patches overlap, or lie on no lattice of their own width.
    """
    everything = np.arange(len(coords))
    whole = _fit(everything, coords, size)
    lattices = [whole] if whole else []
    if not whole:
        if _overlapping(coords, size) > 0.5:
            raise SlideError("irregular_grid", f"the patches of {file} overlap; extract them without overlap")
        fitted = [_fit(members, coords, size) for members in _by_phase(coords, size) or []]
        lattices = sorted((one for one in fitted if one), key=lambda one: (one.ys.min(), one.xs.min()))
    widest = max((int(np.ptp(one.rows) + 1) * int(np.ptp(one.cols) + 1) for one in lattices), default=0)
    if sum(len(one.members) for one in lattices) < len(coords) or widest > _MOST_CELLS:
        raise SlideError(
            "irregular_grid",
            f"the patches of {file}, {size[0]:g} x {size[1]:g} px at level 0, do not lie side by side on a lattice; "
            "extract them on a grid whose step is their width",
        )
    return lattices
