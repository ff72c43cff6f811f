"""Where the regions of a slide lie: pure geometry in level-0 px.

The grid starts at the slide's upper left corner (level-0 px 0, 0), so a position depends on the scale alone and not on
what was found as tissue. A side shorter than one region is centred in it. The last row and column may stick out of the
slide.
"""

from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

import numpy as np

from workflow_scripts.config import Regions, Slides
from workflow_scripts.core.seeds import derive_seed
from workflow_scripts.core.status import SlideError

_NO_TISSUE = 1e-6  # below it a fraction is the rounding error of sums of areas, not tissue
_COARSE_FACTOR = 1.1  # slides scanned for one scale differ by less: 0.22 to 0.27 um/px are all called 40x


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
    # multiplied in the order of `region_size`, for the last is the region's side also where it ends at half a px
    exact = np.arange(settings.grid + 1) * settings.patch_px * settings.mpp / mpp_level0
    return np.rint(exact).astype(np.int64)


def region_size(mpp_level0: float, settings: Regions) -> int:
    """Side of every region along one axis, level-0 px: `grid * patch_px * mpp` um, rounded; 1 at least."""
    return max(1, round(settings.grid * settings.patch_px * settings.mpp / mpp_level0))


def _starts(length: int, size: int, stride_fraction: float) -> list[int]:
    """First px of each region along one axis; each is rounded by itself, so a stride's error does not add up."""
    if length <= size:
        return [-((size - length) // 2)]
    step, starts = max(1.0, size * stride_fraction), [0]
    while starts[-1] + size < length:
        starts.append(round(len(starts) * step))
    return starts


def region_grid(width: int, height: int, mpp_x: float, mpp_y: float, settings: Regions) -> list[Position]:
    """All regions that together cover a slide, row by row.

    Args:
        width: of the slide, level-0 px.
        height: of the slide, level-0 px.
        mpp_x: scale of level 0 along x, um/px.
        mpp_y: the same along y.
        settings: config section `regions`.
    """
    size_x, size_y = region_size(mpp_x, settings), region_size(mpp_y, settings)
    columns = _starts(width, size_x, settings.stride_fraction)
    return [
        Position(x, y, size_x, size_y, row, col)
        for row, y in enumerate(_starts(height, size_y, settings.stride_fraction))
        for col, x in enumerate(columns)
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
        """Tissue fraction of each cell between the edges (level-0 px; any part outside the slide holds none).

        Args:
            x_edges: float or int `[..., n + 1]`, one row or several.
            y_edges: `[m + 1]`.

        Returns:
            float64 `[..., m, n]`, 0 where the cell has no extent.
        """
        # The table is linear between its nodes along each axis, so interpolating it is exact.
        bands = np.diff(_interpolate(self._sums, y_edges / self._px_y), axis=0)
        columns = _interpolate(bands.T, x_edges.ravel() / self._px_x).reshape(*x_edges.shape, -1)
        area = np.diff(columns, axis=-2).swapaxes(-1, -2) * self._px_x * self._px_y
        whole = np.diff(y_edges)[:, None] * np.diff(x_edges)[..., None, :]
        fraction = np.clip(area / np.maximum(whole, 1e-9), 0.0, 1.0)
        return np.where((fraction < _NO_TISSUE) | (whole <= 0), 0.0, fraction)


def _interpolate(table: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Rows of `table` at fractional indices, clamped to its ends."""
    at = np.clip(at, 0, len(table) - 1)
    first = np.minimum(at.astype(np.int64), len(table) - 2)
    part = (at - first)[:, None]
    return table[first] * (1 - part) + table[first + 1] * part


def _with_fractions(
    places: list[Position], tissue: TissueArea, edges_x: np.ndarray, edges_y: np.ndarray
) -> Iterator[tuple[Position, float, np.ndarray]]:
    """Each place with its tissue fraction and those of its patches, float64 `[g, g]`; one row of regions at a time."""
    areas = np.diff(edges_y)[:, None] * np.diff(edges_x)[None, :]
    share = areas / max(1, areas.sum())
    for _, group in groupby(places, key=lambda place: place.grid_row):
        row = list(group)
        left = np.array([place.x for place in row])[:, None]
        top = row[0].y
        patches = tissue.cells(left + edges_x, top + edges_y)
        whole = (patches * share).sum(axis=(1, 2))
        yield from zip(row, whole.tolist(), patches, strict=True)


def _chosen(rows: list[dict], settings: Regions) -> list[dict]:
    """Rows with enough tissue, else the best one; where there are more than allowed, a sample of them in grid order.

    The sample takes the smallest hashes of seed and region_id, so it depends on nothing else, and a larger sample
    holds the smaller one.
    """
    enough = [row for row in rows if row["tissue_fraction"] >= settings.min_tissue_fraction]
    chosen = enough or sorted(rows, key=lambda row: -row["tissue_fraction"])[:1]
    if settings.max_per_slide is None or len(chosen) <= settings.max_per_slide:
        return chosen
    by_chance = sorted(chosen, key=lambda row: derive_seed(settings.seed, "regions", row["region_id"]))
    taken = {row["region_id"] for row in by_chance[: settings.max_per_slide]}
    return [row for row in chosen if row["region_id"] in taken]


def region_rows(
    slide_id: str, mask: np.ndarray, width: int, height: int, mpp_x: float, mpp_y: float, settings: Regions
) -> list[dict]:
    """Rows of `core.schemas.REGIONS` for the regions with enough tissue, `max_per_slide` at most.

    Where no region of a slide with tissue has enough of it, the best one is kept. Fractions are of the whole patch or
    region, padding included. A patch with less tissue than `min_patch_tissue` counts as glass: its fraction is 0. A
    region without a patch of tissue is left out.

    Args:
        slide_id: the slide.
        mask: bool `[h, w]`, tissue over the whole slide at any scale.
        width: of the slide, level-0 px.
        height: of the slide, level-0 px.
        mpp_x: scale of level 0 along x, um/px.
        mpp_y: the same along y.
        settings: config section `regions`.
    """
    tissue = TissueArea(mask, width, height)
    edges_x, edges_y = patch_edges(mpp_x, settings), patch_edges(mpp_y, settings)
    rows = []
    places = region_grid(width, height, mpp_x, mpp_y, settings)
    for place, fraction, patches in _with_fractions(places, tissue, edges_x, edges_y):
        patches = np.where(patches < settings.min_patch_tissue, 0.0, patches)
        if not patches.any():
            continue
        rows.append(
            {
                "slide_id": slide_id,
                "region_id": f"{slide_id}_r{place.grid_row:03d}_c{place.grid_col:03d}",
                **place._asdict(),
                "tissue_fraction": fraction,
                "patch_tissue": patches.ravel().astype(np.float32),
            }
        )
    return _chosen(rows, settings)


def enlargement_note(mpp_x: float, mpp_y: float, settings: Regions) -> str:
    """A sentence where the slide is much coarser than the scale at which regions are read, else empty."""
    return _enlarged(mpp_x, mpp_y, settings.mpp)


def _enlarged(mpp_x: float, mpp_y: float, mpp: float) -> str:
    coarsest = max(mpp_x, mpp_y)
    if coarsest <= _COARSE_FACTOR * mpp:
        return ""
    return (
        f"the slide has {coarsest:.4g} um/px, so its pixels are enlarged {coarsest / mpp:.2g} times for regions.mpp "
        f"{mpp:g} and show no more detail"
    )


def refuse_enlarged(mpp_x: float | None, mpp_y: float | None, settings: Slides) -> None:
    """Refuse a slide that is much coarser than regions at `slides.mpp_of_regions`; not one whose scale is not known.

    Args:
        mpp_x: scale of level 0 along x, um/px.
        mpp_y: the same along y.
        settings: config section `slides`.

    Raises:
        SlideError: `scale_mismatch`.
    """
    if not (settings.mpp_of_regions and mpp_x and mpp_y):
        return
    if note := _enlarged(mpp_x, mpp_y, settings.mpp_of_regions):
        raise SlideError(
            "scale_mismatch",
            f"{note}; a model of such regions has seen nothing like it: take a scan at a finer scale, or, if this "
            "scale is wrong, give the true value in the column mpp of the manifest",
        )
