"""The files of a slide's tissue: polygons as GeoParquet and for QuPath, and a picture of them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from PIL import Image
from shapely import Polygon

from workflow_scripts.core.files import write_text
from workflow_scripts.core.status import SlideStatus
from workflow_scripts.core.tables import status_meta, write_table
from workflow_scripts.tissue.overlay import draw_reason, save_picture
from workflow_scripts.tissue.polygons import TISSUE_SCHEMA, geojson, tissue_rows


class Finding(NamedTuple):
    """What was found on a slide.

    Attributes:
        polygons: in px at level 0.
        facts: for the table's metadata; `origin` is the px of level 0 from which the GeoJSON counts.
        picture: of the slide with its outline.
    """

    polygons: list[Polygon]
    facts: dict[str, Any]
    picture: Image.Image


def nothing_found(status: SlideStatus) -> Finding:
    """Of a slide that cannot be used, and why."""
    return Finding([], {"tissue_mm2": 0.0, "origin": [0, 0]}, draw_reason(status.reason, status.detail))


def write_finding(
    paths: Sequence[str], finding: Finding, status: SlideStatus, scale: tuple[float, float], made_of: str
) -> None:
    """Write the files, the table last.

    Args:
        paths: of the GeoJSON, the picture and the table.
        finding: what was found.
        status: of the slide after this.
        scale: um/px along x and y.
        made_of: see `core.slide_stage`.
    """
    geojson_path, picture_path, table_path = paths
    save_picture(picture_path, finding.picture)
    write_text(geojson_path, geojson(finding.polygons, *scale, finding.facts["origin"]))
    rows = tissue_rows(status.slide_id, finding.polygons, *scale)
    write_table(table_path, rows, TISSUE_SCHEMA, status_meta(status) | finding.facts | {"made_of": made_of})
