"""GeoJSON as QuPath and other tools write it: features, which of them are annotations, their classes and shapes.

QuPath has told the type of an object by `id` (0.2: PathAnnotationObject, PathDetectionObject, PathCellObject,
TMACoreObject), by `properties.object_type` (0.3) and by `properties.objectType` (from 0.4).
"""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from workflow_scripts.core.status import SlideError

_OLD_ID = re.compile(r"(?:Path)?([A-Za-z]+)Object")
_COLLECTION = "GeometryCollection"


def _bad(file: str, what: str) -> SlideError:
    return SlideError("bad_mask", f"the mask {file} {what}")


def read_features(file: str) -> list[dict[str, Any]]:
    """Features of a FeatureCollection, a list, one feature, one geometry, or one of these a line.

    Raises:
        SlideError: `bad_mask`: it cannot be read, or is no GeoJSON.
    """
    try:
        content = _parsed(Path(file).read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise _bad(file, f"cannot be read as JSON ({error}); export it from QuPath again") from error
    found: list[Any] = []
    for item in content if isinstance(content, list) else [content]:
        inner = item.get("features", item) if isinstance(item, dict) else item
        found += inner if isinstance(inner, list) else [inner]
    if not all(isinstance(item, dict) for item in found):
        raise _bad(file, "is no GeoJSON (FeatureCollection or list of features); export it from QuPath again")
    return found


def _parsed(text: str) -> Any:
    """JSON, or a list where every line is JSON by itself."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        lines = [line for line in text.splitlines() if line.strip()]
        if error.msg != "Extra data" or len(lines) < 2:
            raise
        return [json.loads(line) for line in lines]


def _properties(feature: dict[str, Any]) -> dict[str, Any]:
    found = feature.get("properties")
    return found if isinstance(found, dict) else {}


def _kind(feature: dict[str, Any]) -> str:
    """QuPath's type of an object in lower case, empty where none is told."""
    properties = _properties(feature)
    told = str(properties.get("objectType") or properties.get("object_type") or "")
    old = _OLD_ID.fullmatch(told or str(feature.get("id") or ""))
    return (old[1] if old else told).lower()


def is_annotation(feature: dict[str, Any]) -> bool:
    """Whether a feature is an annotation; one without a type is, a detection, cell, tile or TMA core is not."""
    return _kind(feature) in ("", "annotation") and "nucleusGeometry" not in feature


def is_qupaths(feature: dict[str, Any]) -> bool:
    """Whether a feature bears a mark of QuPath: a type, a class, or its lock."""
    return bool(_kind(feature)) or not {"classification", "isLocked"}.isdisjoint(_properties(feature))


def class_of(feature: dict[str, Any]) -> str:
    """Name of an annotation's class, empty where it has none."""
    found = _properties(feature).get("classification") or {}
    if isinstance(found, dict):
        names = found.get("names")
        found = found.get("name") or ": ".join(map(str, names if isinstance(names, list) else []))
    return str(found)


def as_shape(file: str, feature: dict[str, Any]) -> Any:
    """The polygons of a feature as one valid shape, those of a collection too; None for points and lines.

    Raises:
        SlideError: `bad_mask`: a polygon is broken.
    """
    shapes = [_valid_shape(file, geometry) for geometry in _polygons(feature.get("geometry", feature))]
    return shapely.union_all(shapes) if len(shapes) > 1 else next(iter(shapes), None)


def _polygons(geometry: Any) -> list[dict[str, Any]]:
    kind = geometry.get("type") if isinstance(geometry, dict) else None
    if kind == _COLLECTION:
        parts = geometry.get("geometries")
        return [polygon for part in (parts if isinstance(parts, list) else []) for polygon in _polygons(part)]
    return [geometry] if kind in ("Polygon", "MultiPolygon") else []


def _valid_shape(file: str, geometry: dict[str, Any]) -> Any:
    kind = geometry["type"]
    try:
        shape = shapely.geometry.shape({"type": kind, "coordinates": geometry["coordinates"]})
        if shape.is_empty or not np.isfinite(shapely.get_coordinates(shape)).all():
            raise ValueError("it is empty or has coordinates that are no numbers")
    except (
        KeyError,
        TypeError,
        ValueError,
        IndexError,
        AttributeError,
        OverflowError,
        shapely.errors.ShapelyError,
    ) as error:
        raise _bad(file, f"has a broken {kind} ({error}); draw it again in QuPath and export it") from error
    return shape if shape.is_valid else shapely.make_valid(shape)
