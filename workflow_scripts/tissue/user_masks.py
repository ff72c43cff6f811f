"""Tissue drawn by the user: QuPath GeoJSON, or a binary picture of the whole slide."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from workflow_scripts.core.status import SlideError
from workflow_scripts.tissue.mask_image import read_mask_image
from workflow_scripts.tissue.polygons import mask_polygons

# Annotations of these classes are cut out of the tissue; any other class, or none, is tissue.
_CUT_OUT = {"glass", "background", "hole", "artefact", "artifact", "pen"}
# QuPath ignores classes whose name ends with an asterisk; its own Region* outlines what is to be looked at.
_REGION = "region*"


def read_user_mask(files: list[str], shape: tuple[int, int], width: int, height: int) -> list[shapely.Polygon]:
    """Polygons (level-0 px, not overlapping, inside the slide) of the mask that the user gives for a slide.

    Args:
        files: the slide's files of `tissue.masks`; there must be one.
        shape: rows and columns to which a picture is brought.
        width: of the slide, level-0 px.
        height: of the slide, level-0 px.

    Raises:
        SlideError: `bad_mask`; the detail names the file and how to mend it.
    """
    if len(files) > 1:
        raise SlideError("bad_mask", f"there are several masks, {' and '.join(files)}; keep one of them")
    (file,) = files
    if file.lower().endswith(".geojson"):
        return _from_geojson(file, width, height)
    return mask_polygons(read_mask_image(file, shape, width, height), width, height)


def _bad(file: str, what: str) -> SlideError:
    return SlideError("bad_mask", f"the mask {file} {what}")


def _from_geojson(file: str, width: int, height: int) -> list[shapely.Polygon]:
    kept: list[Any] = []
    cut: list[Any] = []
    for feature in _features(file):
        shape = _polygon_shape(file, feature)
        if shape is not None:
            (cut if _is_cut_out(feature) else kept).append(shape)
    if not kept:
        raise _bad(file, "holds no polygon that is tissue; export the annotations from QuPath as GeoJSON, or delete it")
    drawn = shapely.union_all(kept)
    slide = shapely.box(0, 0, width, height)
    inside = shapely.intersection(drawn, slide)
    if inside.area < drawn.area / 2:
        raise _bad(
            file,
            f"lies mostly outside the slide of {width} x {height} px; coordinates must be px of its level 0",
        )
    tissue = shapely.difference(inside, shapely.union_all(cut)) if cut else inside
    # Normal form, so that what is written for QuPath and read again is the same.
    parts = shapely.get_parts(shapely.normalize(tissue))
    return [part for part in parts if part.geom_type == "Polygon" and part.area > 0]


def _features(file: str) -> list[dict[str, Any]]:
    try:
        content = json.loads(Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _bad(file, f"cannot be read as JSON ({error}); export it from QuPath again") from error
    if isinstance(content, dict):
        content = content.get("features", [content])
    if not isinstance(content, list) or not all(isinstance(item, dict) for item in content):
        raise _bad(file, "is no GeoJSON (FeatureCollection or list of features); export it from QuPath again")
    return content


def _polygon_shape(file: str, feature: dict[str, Any]) -> Any:
    """The feature's polygons as one valid shape; None for detections, points and lines."""
    geometry = feature.get("geometry", feature)
    kind = geometry.get("type") if isinstance(geometry, dict) else None
    properties = feature.get("properties") or {}
    if kind not in ("Polygon", "MultiPolygon") or properties.get("objectType", "annotation") != "annotation":
        return None
    try:
        shape = shapely.geometry.shape({"type": kind, "coordinates": geometry["coordinates"]})
        if shape.is_empty or not np.isfinite(shapely.get_coordinates(shape)).all():
            raise ValueError("it is empty or has coordinates that are no numbers")
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, shapely.errors.ShapelyError) as error:
        raise _bad(file, f"has a broken {kind} ({error}); draw it again in QuPath and export it") from error
    return shape if shape.is_valid else shapely.make_valid(shape)


def _is_cut_out(feature: dict[str, Any]) -> bool:
    """Whether the annotation's class says that it is no tissue."""
    found = (feature.get("properties") or {}).get("classification") or {}
    if isinstance(found, dict):
        found = found.get("name") or ": ".join(map(str, found.get("names") or []))
    name = str(found).strip().lower()
    return name in _CUT_OUT or (name.endswith("*") and name != _REGION)
