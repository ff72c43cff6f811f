"""Open a slide, resolve its true scale and read a few of its pixels; a bad slide gives a row with the reason."""

import json
from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from typing import Any

from workflow_scripts.config import Slides
from workflow_scripts.core import schemas
from workflow_scripts.core.entry import log, parse_entry, run_entry
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.slide_stage import Files, stage_parser
from workflow_scripts.core.status import Reason, SlideStatus, ended_by, excluded
from workflow_scripts.core.tables import status_meta, write_table
from workflow_scripts.wsi.fetch import local_slide
from workflow_scripts.wsi.pixels import probe
from workflow_scripts.wsi.regions import refuse_enlarged
from workflow_scripts.wsi.scale import resolve_scale
from workflow_scripts.wsi.slide import open_slide
from workflow_scripts.wsi.unchanged import file_bytes, unchanged

ENDED: Reason = "unreadable_file"


def check(slide_id: str, path: str, mpp: float | tuple[float, float] | None, settings: Slides) -> dict[str, Any]:
    """Row of `schemas.CHECK`; what could be learnt before a failure is filled in."""
    row: dict[str, Any] = {"slide_id": slide_id, "path": path}
    try:
        file = local_slide(path)
        row["bytes"] = file_bytes(file)
        with unchanged(file, row["bytes"]), open_slide(file) as slide:
            row |= {
                "vendor": slide.vendor,
                "width": slide.width,
                "height": slide.height,
                "levels": len(slide.level_downsamples),
            }
            scale = resolve_scale(slide.properties, mpp, settings)
            row |= {"mpp_x": scale.mpp_x, "mpp_y": scale.mpp_y, "mpp_source": scale.source}
            refuse_enlarged(scale.mpp_x, scale.mpp_y, settings)
            note = slide.properties.get("reader.note", "")
            probe(slide)
    except Exception as error:  # whatever a decoder does with one file, the other slides go on
        return row | asdict(ended_by(error, slide_id, "unreadable_file", f"{path} cannot be opened"))
    return row | {"status": "ok", "reason": "", "detail": "; ".join(filter(None, (note, scale.note)))}


def _manifest_row(text: str) -> dict[str, Any]:
    row = json.loads(text)
    missing = {"slide_id", "path"} - set(row)
    if missing:
        raise UserError(
            f"--row has no {' and '.join(sorted(missing))}; give slide_id, path and mpp (a number, [x, y] or null)"
        )
    mpp = row.get("mpp")
    return row | {"mpp": tuple(mpp) if isinstance(mpp, list) else mpp}


def slide_parser() -> ArgumentParser:
    parser = stage_parser(__doc__)
    parser.add_argument("--config", type=Slides.model_validate_json, required=True, help="config section slides, JSON")
    parser.add_argument("--row", type=_manifest_row, required=True, help='JSON {"slide_id", "path", "mpp"}')
    parser.add_argument("--output", required=True, help="check/{slide}.parquet, one row")
    return parser


def files(args: Namespace) -> Files:
    return Files([args.output], slide=args.row["path"])


def run(args: Namespace, ended: SlideStatus | None = None) -> None:
    slide_id, path = args.row["slide_id"], args.row["path"]
    if ended:
        row: dict[str, Any] = {"slide_id": slide_id, "path": path} | asdict(ended)
    else:
        row = check(slide_id, path, args.row["mpp"], args.config)
    ok = row["status"] == "ok"
    status = SlideStatus(slide_id, detail=row["detail"]) if ok else excluded(slide_id, row["reason"], row["detail"])
    log.info("slide %s: %s", slide_id, " ".join(filter(None, (row["status"], row["reason"], row["detail"]))))
    write_table(args.output, [row], schemas.CHECK, status_meta(status) | {"made_of": args.made_of})


def main(argv: list[str] | None = None) -> None:
    run(parse_entry(slide_parser(), argv))


if __name__ == "__main__":
    run_entry(main)
