"""Regions with their group as objects that QuPath 0.4 and newer reads (qupath.lib.io.QuPathTypeAdapters).

A region is a tile, a kind of detection: thousands are drawn without delay, each in the colour of its class, and
measurement maps colour them by any measurement. As tiles are no annotations, they are never taken for a mask of tissue
(`tissue.masks`) where a project is exported as a whole.
"""

import json
import math
import uuid
from collections.abc import Mapping
from typing import Any

from workflow_scripts.core.colours import group_colour, group_name, red_green_blue

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://arxiv.org/abs/2307.10696")


def _outline(region: Mapping[str, Any], origin: tuple[int, int]) -> list[list[int]]:
    left, top = region["x"] - origin[0], region["y"] - origin[1]
    right, bottom = left + region["size_x"], top + region["size_y"]
    return [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]


def tile(
    region: Mapping[str, Any], origin: tuple[int, int], measurements: Mapping[str, float | None]
) -> dict[str, Any]:
    """One region as a GeoJSON feature.

    Args:
        region: slide_id, region_id, x, y, size_x, size_y (px at level 0) and group.
        origin: corner of the slide's bounds, px at level 0, from which QuPath counts.
        measurements: by name; those that are no finite number are left out, for JSON has none.
    """
    name = f"{region['slide_id']}/{region['region_id']}"
    kept = {key: value for key, value in measurements.items() if value is not None and math.isfinite(value)}
    return {
        "type": "Feature",
        "id": str(uuid.uuid5(_NAMESPACE, name)),
        "geometry": {"type": "Polygon", "coordinates": [_outline(region, origin)]},
        "properties": {
            "objectType": "tile",
            "name": region["region_id"],
            "classification": {
                "name": group_name(region["group"]),
                "color": list(red_green_blue(group_colour(region["group"]))),
            },
            "measurements": kept,
        },
    }


def collection(features: list[dict[str, Any]]) -> str:
    """GeoJSON text of a FeatureCollection, a feature a line."""
    lines = ",\n".join(json.dumps(feature, allow_nan=False) for feature in features)
    return f'{{"type": "FeatureCollection", "features": [\n{lines}\n]}}\n'
