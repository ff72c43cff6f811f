"""Lay regions over the tissue of a slide, with the tissue fraction of every patch."""

from argparse import ArgumentParser, Namespace

from workflow_scripts.config import Regions
from workflow_scripts.core import schemas
from workflow_scripts.core.entry import log, parse_entry, run_entry
from workflow_scripts.core.slide_stage import Files, stage_parser
from workflow_scripts.core.status import Reason, SlideStatus, excluded
from workflow_scripts.core.tables import read_meta, read_status, read_table, status_meta, write_table
from workflow_scripts.tissue.polygons import from_wkb, rasterise
from workflow_scripts.wsi.regions import enlargement_note, region_rows

ENDED: Reason = "read_error"


def find_regions(check_path: str, tissue_path: str, settings: Regions) -> tuple[list[dict], str]:
    """Rows of `schemas.REGIONS` of a usable slide, and a doubt about its scale or nothing."""
    check = read_table(check_path).to_pylist()[0]
    size = check["width"], check["height"]
    polygons = from_wkb(read_table(tissue_path, ["geometry"])["geometry"])
    mask = rasterise(polygons, tuple(read_meta(tissue_path)["raster"]), *size)
    scale = check["mpp_x"], check["mpp_y"]
    return region_rows(check["slide_id"], mask, *size, *scale, settings), enlargement_note(*scale, settings)


def slide_parser() -> ArgumentParser:
    parser = stage_parser(__doc__)
    parser.add_argument(
        "--config", type=Regions.model_validate_json, required=True, help="config section regions, JSON"
    )
    parser.add_argument("--check", required=True, help="check/{slide}.parquet")
    parser.add_argument("--tissue", required=True, help="tissue/{slide}.parquet")
    parser.add_argument("--output", required=True, help="regions/{slide}.parquet")
    return parser


def files(args: Namespace) -> Files:
    return Files([args.output], tables=[args.check, args.tissue])


def run(args: Namespace, ended: SlideStatus | None = None) -> None:
    status = ended or read_status(args.tissue)
    rows, note = find_regions(args.check, args.tissue, args.config) if status.ok else ([], "")
    if status.ok and not rows:
        status = excluded(status.slide_id, "no_regions", "no region holds any tissue; look at the tissue overlay")
    elif note:
        status = SlideStatus(status.slide_id, detail="; ".join(filter(None, (status.detail, note))))
    log.info("slide %s: %d regions %s", status.slide_id, len(rows), status.reason or status.detail)
    facts = {"tissue_mm2": read_meta(args.tissue)["tissue_mm2"], "made_of": args.made_of}
    write_table(args.output, rows, schemas.REGIONS, status_meta(status) | facts)


def main(argv: list[str] | None = None) -> None:
    run(parse_entry(slide_parser(), argv))


if __name__ == "__main__":
    run_entry(main)
