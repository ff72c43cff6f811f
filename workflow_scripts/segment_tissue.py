"""Find the tissue of a slide: polygons as GeoParquet and QuPath GeoJSON, and an overlay picture."""

from dataclasses import replace
from typing import Any

from PIL import Image
from shapely import Polygon

from workflow_scripts.config import Tissue
from workflow_scripts.core.entry import entry_parser, log, parse_entry, run_entry
from workflow_scripts.core.files import write_text
from workflow_scripts.core.status import SlideStatus, ended_by
from workflow_scripts.core.tables import read_status, read_table, status_meta, write_table
from workflow_scripts.tissue.outline import find_outline, judge_artefacts
from workflow_scripts.tissue.overlay import (
    UNREADABLE,
    draw_findings,
    draw_outline,
    draw_reason,
    picture_size,
    save_picture,
)
from workflow_scripts.tissue.polygons import TISSUE_SCHEMA, geojson, tissue_rows
from workflow_scripts.wsi.fetch import local_slide
from workflow_scripts.wsi.overview import read_at_scale
from workflow_scripts.wsi.pixels import read_overview
from workflow_scripts.wsi.slide import open_slide


def find_tissue(
    check: dict[str, Any], masks: list[str], settings: Tissue
) -> tuple[list[Polygon], dict[str, Any], Image.Image]:
    """Polygons (level-0 px), facts for the table's metadata, and the overlay picture.

    Raises:
        SlideError: `not_brightfield`, `no_tissue`, `bad_mask`, `unreadable_fraction`, or of opening and reading.
    """
    mpp_x, mpp_y = check["mpp_x"], check["mpp_y"]
    with open_slide(local_slide(check["path"])) as slide:
        view = read_at_scale(slide, mpp_x, mpp_y, settings.mpp)
        picture, read_ok = read_overview(slide, *picture_size(slide.width, slide.height))
        if not read_ok.all():
            picture[~read_ok] = UNREADABLE
        outline = find_outline(view, masks, slide.width, slide.height, settings)
        artefacts = judge_artefacts(slide, view, outline, mpp_x, mpp_y, settings)
        size, bounds = (slide.width, slide.height), slide.bounds
    facts = {
        "tissue_mm2": sum(polygon.area for polygon in outline.polygons) * mpp_x * mpp_y / 1e6,
        "threshold": outline.threshold,
        "mask": masks[0] if masks else None,
        "raster": list(outline.mask.shape),
        "origin": list(bounds[:2]) if bounds else [0, 0],  # of the GeoJSON, level-0 px
        "unreadable_fraction": view.unreadable_fraction,
        "pen_fraction": artefacts.pen_fraction,
        "blurred_fraction": artefacts.blurred_fraction,
        "note": artefacts.note,
    }
    drawn = draw_outline(picture, outline.polygons, *size)
    return outline.polygons, facts, draw_findings(drawn, artefacts.pen, artefacts.blurred, *size)


def main(argv: list[str] | None = None) -> None:
    parser = entry_parser(__doc__)
    parser.add_argument("--config", type=Tissue.model_validate_json, required=True, help="config section tissue, JSON")
    parser.add_argument("--check", required=True, help="check/{slide}.parquet")
    parser.add_argument("--mask", nargs="*", default=[], help="the user's own mask of the slide, if there is one")
    parser.add_argument("--tissue", required=True, help="polygons to write, GeoParquet")
    parser.add_argument("--geojson", required=True, help="the same for QuPath")
    parser.add_argument("--overlay", required=True, help="picture of the slide with its outline, PNG")
    args = parse_entry(parser, argv)
    check = read_table(args.check).to_pylist()[0]
    status: SlideStatus = read_status(args.check)
    polygons: list[Polygon] = []
    facts: dict[str, Any] = {"tissue_mm2": 0.0, "origin": [0, 0]}
    if status.ok:
        try:
            polygons, facts, picture = find_tissue(check, args.mask, args.config)
            status = SlideStatus(status.slide_id, detail="; ".join(filter(None, (status.detail, facts["note"]))))
        except Exception as error:  # whatever a decoder does with one file, the other slides go on
            ended = ended_by(error, status.slide_id, "read_error", f"{check['path']} cannot be segmented")
            # A doubt about the scale or the image may be why nothing was found.
            status = replace(ended, detail="; ".join(filter(None, (ended.detail, status.detail))))
    if not status.ok:
        picture = draw_reason(status.reason, status.detail)
        log.info("slide %s: %s, %s", status.slide_id, status.reason, status.detail)
    else:
        log.info("slide %s: %.2f mm2 in %d pieces", status.slide_id, facts["tissue_mm2"], len(polygons))
        if any(facts["origin"]):
            log.info("its GeoJSON counts from px (%d, %d) of level 0, the corner of its bounds", *facts["origin"])
    mpp_x, mpp_y = check["mpp_x"] or 1.0, check["mpp_y"] or 1.0
    save_picture(args.overlay, picture)
    write_text(args.geojson, geojson(polygons, mpp_x, mpp_y, facts["origin"]))
    rows = tissue_rows(status.slide_id, polygons, mpp_x, mpp_y)
    write_table(args.tissue, rows, TISSUE_SCHEMA, status_meta(status) | facts)


if __name__ == "__main__":
    run_entry(main)
