"""Regions over the lattices of another tool's patches, and which patch is which token.

A region is `grid x grid` cells of a lattice. Its tokens stand exactly where the tool's patches stood; no patch is
moved, averaged or made up. A cell without a patch is one that the tool left out as background.
"""

from typing import Any, NamedTuple

import numpy as np

from workflow_scripts.config import Regions
from workflow_scripts.interchange.lattice import Lattice


class RegionMap(NamedTuple):
    """Regions of a slide.

    Attributes:
        rows: rows of `core.schemas.REGIONS`; `patch_tissue` is 1 where there is a patch, 0 elsewhere.
        patches: int64 `[R, g, g]`, the number of each token's patch, -1 where there is none.
    """

    rows: list[dict[str, Any]]
    patches: np.ndarray


def region_starts(first: int, last: int, grid: int, stride: int) -> list[tuple[int, int]]:
    """(number, first cell) of the regions along one axis that hold any of the cells first..last.

    Regions start at multiples of the stride from the slide's corner, as regions of slides read here. A lattice that is
    no longer than a region is centred in one instead, so that a small piece is not cut.
    """
    extent = last - first + 1
    if extent <= grid:
        return [(0, first - (grid - extent) // 2)]
    lowest, highest = (first - grid) // stride + 1, last // stride
    return [(number, number * stride) for number in range(lowest, highest + 1)]


def _cell_map(lattice: Lattice, margin: int) -> tuple[np.ndarray, int, int]:
    """Patch number of each cell, -1 without one, with a margin of empty cells; and the first row and column."""
    top, left = int(lattice.rows.min()) - margin, int(lattice.cols.min()) - margin
    height, width = int(lattice.rows.max()) - top + 1 + margin, int(lattice.cols.max()) - left + 1 + margin
    cells = np.full((height, width), -1, np.int64)
    cells[lattice.rows - top, lattice.cols - left] = lattice.members
    return cells, top, left


def _regions_of(slide_id: str, lattice: Lattice, name: str, settings: Regions) -> RegionMap:
    grid = settings.grid
    stride = max(1, round(grid * settings.stride_fraction))
    cells, top, left = _cell_map(lattice, grid)
    rows, patches = [], []
    for number_row, row in region_starts(int(lattice.rows.min()), int(lattice.rows.max()), grid, stride):
        for number_col, col in region_starts(int(lattice.cols.min()), int(lattice.cols.max()), grid, stride):
            inside = cells[row - top : row - top + grid, col - left : col - left + grid]
            if not (inside >= 0).any():
                continue
            (x, y), (end_x, end_y) = lattice.corner(row, col), lattice.corner(row + grid, col + grid)
            rows.append(
                {
                    "slide_id": slide_id,
                    "region_id": f"{slide_id}{name}_r{number_row:03d}_c{number_col:03d}",
                    **{"x": x, "y": y, "size_x": end_x - x, "size_y": end_y - y},
                    **{"grid_row": number_row, "grid_col": number_col},
                    "tissue_fraction": float((inside >= 0).mean()),
                    "patch_tissue": (inside >= 0).ravel().astype(np.float32),
                }
            )
            patches.append(inside)
    return RegionMap(rows, np.stack(patches))


def region_map(slide_id: str, lattices: list[Lattice], settings: Regions) -> RegionMap:
    """Regions of a slide with enough patches, lattice by lattice; where none has enough, the fullest one.

    Args:
        slide_id: of the manifest; regions are named after it.
        lattices: from `find_lattices`, one at least.
        settings: config section `regions`: `grid`, `stride_fraction`, and `min_tissue_fraction` of the cells.
    """
    names = [f"_l{number:03d}" if len(lattices) > 1 else "" for number in range(len(lattices))]
    parts = [_regions_of(slide_id, one, name, settings) for one, name in zip(lattices, names, strict=True)]
    rows, patches = [row for part in parts for row in part.rows], np.concatenate([part.patches for part in parts])
    fraction = np.array([row["tissue_fraction"] for row in rows])
    kept = np.flatnonzero(fraction >= settings.min_tissue_fraction)
    if not len(kept):
        kept = np.array([fraction.argmax()])
    return RegionMap([rows[number] for number in kept], patches[kept])


def tokens_of(patches: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Tokens float16 `[n, g, g, D]` of regions; zeros where there is no patch.

    Args:
        patches: int64 `[n, g, g]`, numbers of patches or -1.
        features: `[N, D]`.
    """
    tokens = features[np.maximum(patches, 0)].astype(np.float16)
    tokens[patches < 0] = 0
    return tokens
