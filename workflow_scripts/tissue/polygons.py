"""Tissue as polygons in level-0 px: from a mask, to a mask, to GeoParquet and to GeoJSON for QuPath."""

import json
from itertools import pairwise

import numpy as np
import pyarrow as pa
import shapely

# GeoParquet 1.1 (https://geoparquet.org/releases/v1.1.0/); image coordinates have no reference system.
_GEO = {
    "version": "1.1.0",
    "primary_column": "geometry",
    "columns": {"geometry": {"encoding": "WKB", "geometry_types": ["Polygon"], "crs": None, "edges": "planar"}},
}
TISSUE_SCHEMA = pa.schema(
    [
        pa.field("slide_id", pa.string(), nullable=False),
        pa.field("geometry", pa.binary(), nullable=False),  # WKB, level-0 px, y downwards
        pa.field("area_um2", pa.float64()),
    ],
    metadata={b"geo": json.dumps(_GEO, sort_keys=True).encode()},
)


def mask_polygons(mask: np.ndarray, width: int, height: int) -> list[shapely.Polygon]:
    """Polygons of a bool mask `[h, w]` over a slide of `width x height` px, along its pixels' edges, with holes.

    Their areas add up to the mask's. Pixels that touch by a corner alone belong to different polygons.
    """
    rows, starts, stops = _runs(mask)
    if not len(rows):
        return []
    merged = shapely.union_all(shapely.box(starts, rows, stops, rows + 1))
    scale = np.array([width / mask.shape[1], height / mask.shape[0]])
    # A tolerance of 0 drops only points on a straight line, so the area stays.
    parts = shapely.simplify(shapely.get_parts(merged), 0)
    return list(shapely.transform(parts, lambda points: points * scale))


def _runs(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row, first column and column after the last of every horizontal run of True."""
    step = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, starts = np.nonzero(step == 1)
    return rows, starts, np.nonzero(step == -1)[1]


def rasterise(polygons: list[shapely.Polygon], shape: tuple[int, int], width: int, height: int) -> np.ndarray:
    """Mask of the pixels whose centre lies inside polygons that do not overlap (even-odd rule).

    Args:
        polygons: in level-0 px.
        shape: rows and columns of the result, laid over the whole slide.
        width: of the slide, level-0 px.
        height: of the slide, level-0 px.

    Returns:
        bool `[rows, columns]`; of polygons made by `mask_polygons` from that shape, the same mask again.
    """
    rows, cols = shape
    flips = np.zeros((rows, cols + 1), bool)
    rings = [ring for polygon in polygons for ring in (polygon.exterior, *polygon.interiors)]
    for ring in rings:
        points = shapely.get_coordinates(ring) * (cols / width, rows / height)
        for (x0, y0), (x1, y1) in pairwise(points):
            # Rows whose centre the edge crosses, half-open so that a shared corner counts once.
            first, last = sorted((int(np.ceil(y0 - 0.5)), int(np.ceil(y1 - 0.5))))
            line = np.arange(max(first, 0), min(last, rows))
            if len(line):
                at = x0 + (line + 0.5 - y0) * (x1 - x0) / (y1 - y0)
                flips[line, np.clip(np.ceil(at - 0.5), 0, cols).astype(int)] ^= True
    return np.logical_xor.accumulate(flips, axis=1)[:, :cols]


def tissue_rows(slide_id: str, polygons: list[shapely.Polygon], mpp_x: float, mpp_y: float) -> list[dict]:
    """Rows of `TISSUE_SCHEMA`, one a polygon."""
    return [
        {"slide_id": slide_id, "geometry": shapely.to_wkb(polygon), "area_um2": polygon.area * mpp_x * mpp_y}
        for polygon in polygons
    ]


def from_wkb(column: pa.ChunkedArray) -> list[shapely.Polygon]:
    """Polygons of a tissue table's column `geometry`."""
    return list(shapely.from_wkb(np.array(column.to_pylist(), dtype=object)))


def geojson(polygons: list[shapely.Polygon], mpp_x: float, mpp_y: float, origin: tuple[int, int] = (0, 0)) -> str:
    """GeoJSON FeatureCollection of annotations that QuPath imports, level-0 px counted from `origin`.

    The origin is the corner of the slide's bounds where it has any, for QuPath shows the slide from there.
    """
    moved = [shapely.transform(polygon, lambda points: points - origin) for polygon in polygons]
    features = [
        {
            "type": "Feature",
            "geometry": shapely.geometry.mapping(polygon),
            "properties": {
                "objectType": "annotation",
                "classification": {"name": "Tissue", "color": [0, 160, 80]},
                "area_um2": round(polygon.area * mpp_x * mpp_y, 1),
            },
        }
        for polygon in moved
    ]
    return json.dumps({"type": "FeatureCollection", "features": features})
