"""Embed new slides by a trained model and find what is like them in its cohort: tables and a page for each slide."""

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workflow_scripts.config.model_folder import PROTOTYPES
from workflow_scripts.core import schemas
from workflow_scripts.core.entry import entry_parser, log, parse_entry, run_entry
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import write_text
from workflow_scripts.core.manifest import load_manifest
from workflow_scripts.core.model_facts import DIGEST, model_digest, run_name
from workflow_scripts.core.patients import KEY
from workflow_scripts.core.shown import remove_other_folders, rows_of_others
from workflow_scripts.core.tables import read_meta, read_table, write_table
from workflow_scripts.mil.fitted import load_fitted, predictions
from workflow_scripts.report.pictures import fit
from workflow_scripts.report.slide_page import THUMBNAIL_PX, render_slide_page
from workflow_scripts.wsi.pixels import read_overview
from workflow_scripts.wsi.slide import open_slide

if TYPE_CHECKING:
    from workflow_scripts.slpd.slide_index import SlideIndex
    from workflow_scripts.slpd.slide_view import SlideEncoder
Row = dict[str, Any]


def thumbnail(check: Row) -> np.ndarray | None:
    """The whole slide, uint8 `[h, w, 3]`; None where it cannot be read, for the page is written without it."""
    try:
        with open_slide(check["path"]) as slide:
            return read_overview(slide, *fit(slide.width, slide.height, THUMBNAIL_PX))[0]
    except Exception as error:  # whatever a reader raises: pictures illustrate
        log.warning("slide %s is shown without its picture: %s", check["slide_id"], error)
        return None


def apply_to(check: Row, patient: str | None, encoder: "SlideEncoder", index: "SlideIndex", args: Namespace) -> Row:
    """Write tables and page of a usable slide; what the index says of it."""
    from workflow_scripts.slpd.view_tables import match_rows, write_view

    folder = args.output.parent / "slides" / (slide_id := check["slide_id"])
    view, region_ids = encoder.view_features(args.features, slide_id)
    matches = [] if view.prototypes is None else index.nearest(view.prototypes, args.neighbours)
    places = read_table(args.regions_folder / f"{slide_id}.parquet").to_pylist()
    regions = write_view(folder, view, region_ids, places, index, encoder.round)
    near = match_rows(slide_id, matches, patient, read_meta(args.model / PROTOTYPES).get(KEY))
    write_table(folder / "neighbours.parquet", near, schemas.APPLIED_NEIGHBOURS)
    heads = load_fitted(args.model, len(view.vector))
    predicted = predictions(slide_id, view.vector, heads, patient)
    write_table(folder / "predictions.parquet", predicted, schemas.APPLIED_PREDICTIONS)
    facts = encoder.regions.facts
    model = {"run": run_name(args.model), "cohort": facts["cohort"]["name"], "pretrained_on": facts["pretrained_on"]}
    told = (encoder.settings.prototypes.min_regions, predicted, [facts for _, facts in heads])
    page = render_slide_page(check, model, regions, near, thumbnail(check), *told)
    write_text(folder / "page.html", page)
    nearest = {"nearest_id": matches[0].slide_id, "similarity": matches[0].similarity} if matches else {}
    return {"n_regions": len(region_ids), "vector": view.vector, **nearest}


def main(argv: list[str] | None = None) -> None:
    parser = entry_parser(__doc__)
    parser.add_argument("--model", type=Path, required=True, help="folder of the exported model")
    parser.add_argument("--neighbours", type=int, default=5, help="slides of its cohort that are found for each slide")
    parser.add_argument("--features", type=Path, required=True, help="folder features/{encoder}")
    parser.add_argument("--index", required=True, help="index of a shard of it, whose slides are taken")
    for name, stage in (("check", "check_slide"), ("regions", "tile_regions")):
        parser.add_argument(f"--{name}-folder", type=Path, required=True, help=f"tables of {stage}")
    parser.add_argument("--manifest", required=True, help="CSV of the slides, with patients where they are known")
    parser.add_argument("--add", action="store_true", help="keep the rows of other slides that the table has")
    parser.add_argument("--output", type=Path, required=True, help="table of slides; their files go to slides/ beside")
    args = parse_entry(parser, argv)
    if args.neighbours < 1:
        raise UserError(f"--neighbours is {args.neighbours}; ask for at least one")
    from workflow_scripts.slpd.slide_index import SlideIndex
    from workflow_scripts.slpd.slide_view import SlideEncoder

    encoder, index, rows = SlideEncoder.load(args.model), SlideIndex.load(args.model), []
    patients = (manifest := load_manifest(args.manifest)).patients
    for row in read_table(args.index, schemas.APPLIED.names[:4]).to_pylist():
        check = read_table(args.check_folder / f"{(slide_id := row['slide_id'])}.parquet").to_pylist()[0]
        if row["status"] == "ok":
            row |= apply_to(check, patients.get(slide_id), encoder, index, args)
            nearest = row.get("nearest_id", "none, for it has no prototypes")
            log.info("slide %s: %d regions, nearest %s", slide_id, row["n_regions"], nearest)
        rows.append(row)
    unused = {row["slide_id"] for row in rows if row["status"] != "ok"}
    remove_other_folders(args.output.parent / "slides", {row.slide_id for row in manifest.rows} - unused)
    if args.add:
        rows = [*rows_of_others(args.output, [row["slide_id"] for row in rows]), *rows]
    of_model = {"model": str(args.model), "round": encoder.round, DIGEST: model_digest(args.model)}
    write_table(args.output, rows, schemas.APPLIED, of_model)


if __name__ == "__main__":
    run_entry(main)
