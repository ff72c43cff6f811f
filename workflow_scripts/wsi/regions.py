"""Where the regions of a slide lie: pure geometry in level-0 px.

The grid starts at the slide's corner, so a position depends on the scale alone and not on what was found as tissue. A
side shorter than one region is centred in it. The last row and column may stick out of the slide.
"""

from typing import NamedTuple

import numpy as np

from workflow_scripts.config import Regions


class Position(NamedTuple):
    """Corner (negative where a small slide is centred) and size of a region, level-0 px, and its place in the grid."""

    x: int
    y: int
    size_x: int
    size_y: int
    grid_row: int
    grid_col: int


def patch_edges(mpp_level0: float, settings: Regions) -> np.ndarray:
    """Boundaries of a region's patches along one axis, int64 `[grid + 1]`, level-0 px from the region's corner.

    Each is rounded by itself, so patches neither overlap nor leave gaps, and errors do not add up.
    """
    step = settings.patch_px * settings.mpp / mpp_level0
    return np.rint(np.arange(settings.grid + 1) * step).astype(np.int64)


def _starts(length: int, size: int, stride_fraction: float) -> list[int]:
    if length <= size:
        return [-((size - length) // 2)]
    stride = max(1, round(size * stride_fraction))
    count = -(-(length - size) // stride) + 1
    return [index * stride for index in range(count)]


def region_grid(width: int, height: int, mpp_x: float, mpp_y: float, settings: Regions) -> list[Position]:
    """All regions that together cover a slide, row by row.

    Args:
        width, height: px at level 0.
        mpp_x, mpp_y: um/px at level 0.
        settings: config section `regions`.
    """
    size_x = round(settings.grid * settings.patch_px * settings.mpp / mpp_x)
    size_y = round(settings.grid * settings.patch_px * settings.mpp / mpp_y)
    return [
        Position(x, y, size_x, size_y, row, col)
        for row, y in enumerate(_starts(height, size_y, settings.stride_fraction))
        for col, x in enumerate(_starts(width, size_x, settings.stride_fraction))
    ]


class TissueArea:
    """Area of a raster mask inside any rectangle, exact, from its summed-area table.

    Args:
        mask: bool `[h, w]` over the whole slide.
        width, height: the slide's size, level-0 px.
    """

    def __init__(self, mask: np.ndarray, width: int, height: int) -> None:
        self._sums = np.zeros((mask.shape[0] + 1, mask.shape[1] + 1))
        self._sums[1:, 1:] = mask.cumsum(axis=0, dtype=np.float64).cumsum(axis=1)
        self._px_x, self._px_y = width / mask.shape[1], height / mask.shape[0]

    def cells(self, x_edges: np.ndarray, y_edges: np.ndarray) -> np.ndarray:
        """Tissue fraction of each cell between the edges (level-0 px; any part outside the slide holds none)."""
        # The table is linear between its nodes along each axis, so interpolating it is exact.
        columns = _interpolate(self._sums.T, x_edges / self._px_x).T
        table = _interpolate(columns, y_edges / self._px_y)
        area = np.diff(np.diff(table, axis=0), axis=1) * self._px_x * self._px_y
        whole = np.diff(y_edges)[:, None] * np.diff(x_edges)[None, :]
        return np.clip(area / whole, 0.0, 1.0)


def _interpolate(table: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Rows of `table` at fractional indices, clamped to its ends."""
    at = np.clip(at, 0, len(table) - 1)
    first = np.minimum(at.astype(np.int64), len(table) - 2)
    part = (at - first)[:, None]
    return table[first] * (1 - part) + table[first + 1] * part


def region_rows(
    slide_id: str, mask: np.ndarray, width: int, height: int, mpp_x: float, mpp_y: float, settings: Regions
) -> list[dict]:
    """Rows of `core.schemas.REGIONS` for the regions with enough tissue.

    Where no region of a slide with tissue has enough of it, the best one is kept. Fractions are of the whole patch or
    region, padding included.

    Args:
        mask: bool `[h, w]`, tissue over the whole slide at any scale.
        width, height: px at level 0.
        mpp_x, mpp_y: um/px at level 0.
    """
    tissue = TissueArea(mask, width, height)
    edges_x, edges_y = patch_edges(mpp_x, settings), patch_edges(mpp_y, settings)
    rows = []
    for place in region_grid(width, height, mpp_x, mpp_y, settings):
        patches = tissue.cells(place.x + edges_x, place.y + edges_y)
        whole = tissue.cells(place.x + edges_x[[0, -1]], place.y + edges_y[[0, -1]])
        rows.append(
            {
                "slide_id": slide_id,
                "region_id": f"{slide_id}_r{place.grid_row:03d}_c{place.grid_col:03d}",
                **place._asdict(),
                "tissue_fraction": float(whole[0, 0]),
                "patch_tissue": patches.ravel().astype(np.float32),
            }
        )
    enough = [row for row in rows if row["tissue_fraction"] >= settings.min_tissue_fraction]
    enough = [row for row in enough if row["tissue_fraction"] > 0]
    best = max(rows, key=lambda row: row["tissue_fraction"])
    return enough or ([best] if best["tissue_fraction"] > 0 else [])
