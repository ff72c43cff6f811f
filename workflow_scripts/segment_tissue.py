"""Find the tissue of a slide: polygons as GeoParquet and QuPath GeoJSON, and an overlay picture."""

from argparse import ArgumentParser, Namespace
from dataclasses import replace
from typing import Any

from workflow_scripts.config import Tissue
from workflow_scripts.core.entry import log, parse_entry, run_entry
from workflow_scripts.core.own_function import own_function
from workflow_scripts.core.slide_stage import Files, stage_parser
from workflow_scripts.core.status import Reason, SlideStatus, ended_by
from workflow_scripts.core.tables import read_status, read_table
from workflow_scripts.tissue.files import Finding, nothing_found, write_finding
from workflow_scripts.tissue.outline import find_outline, judge_artefacts
from workflow_scripts.tissue.overlay import UNREADABLE, draw_findings, draw_outline, picture_size
from workflow_scripts.wsi.fetch import local_slide
from workflow_scripts.wsi.overview import read_at_scale
from workflow_scripts.wsi.pixels import read_overview
from workflow_scripts.wsi.slide import open_slide
from workflow_scripts.wsi.unchanged import unchanged

ENDED: Reason = "read_error"


def find_tissue(check: dict[str, Any], masks: list[str], settings: Tissue) -> Finding:
    """Polygons, facts and the overlay picture of a usable slide.

    Raises:
        SlideError: `not_brightfield`, `no_tissue`, `bad_mask`, `unreadable_fraction`, or of opening, reading, change.
    """
    mpp_x, mpp_y = check["mpp_x"], check["mpp_y"]
    file = local_slide(check["path"])
    with unchanged(file, check.get("bytes")), open_slide(file) as slide:
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
    return Finding(outline.polygons, facts, draw_findings(drawn, artefacts.pen, artefacts.blurred, *size))


def slide_parser() -> ArgumentParser:
    parser = stage_parser(__doc__)
    parser.add_argument("--config", type=Tissue.model_validate_json, required=True, help="config section tissue, JSON")
    parser.add_argument("--check", required=True, help="check/{slide}.parquet")
    parser.add_argument("--mask", nargs="*", default=[], help="the user's own mask of the slide, if there is one")
    parser.add_argument("--tissue", required=True, help="polygons to write, GeoParquet")
    parser.add_argument("--geojson", required=True, help="the same for QuPath")
    parser.add_argument("--overlay", required=True, help="picture of the slide with its outline, PNG")
    return parser


def files(args: Namespace) -> Files:
    own = own_function("tissue.method", args.config.method)
    source = [str(file) for file in own.files()] if own else []
    return Files([args.geojson, args.overlay, args.tissue], tables=[args.check], others=[*args.mask, *source])


def run(args: Namespace, ended: SlideStatus | None = None) -> None:
    check, status = read_table(args.check).to_pylist()[0], ended or read_status(args.check)
    if status.ok:
        try:
            found = find_tissue(check, args.mask, args.config)
            status = SlideStatus(status.slide_id, detail="; ".join(filter(None, (status.detail, found.facts["note"]))))
        except Exception as error:  # whatever a decoder does with one file, the other slides go on
            failed = ended_by(error, status.slide_id, ENDED, f"{check['path']} cannot be segmented")
            # A doubt about the scale or the image may be why nothing was found.
            status = replace(failed, detail="; ".join(filter(None, (failed.detail, status.detail))))
    if not status.ok:
        found = nothing_found(status)
        log.info("slide %s: %s, %s", status.slide_id, status.reason, status.detail)
    else:
        log.info("slide %s: %.2f mm2 in %d pieces", status.slide_id, found.facts["tissue_mm2"], len(found.polygons))
        if any(found.facts["origin"]):
            log.info("its GeoJSON counts from px (%d, %d) of level 0, its bounds' corner", *found.facts["origin"])
    write_finding(files(args).outputs, found, status, (check["mpp_x"] or 1.0, check["mpp_y"] or 1.0), args.made_of)


def main(argv: list[str] | None = None) -> None:
    run(parse_entry(slide_parser(), argv))


if __name__ == "__main__":
    run_entry(main)
