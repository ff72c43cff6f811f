"""Take one slide's patch features from another tool: its regions and its feature file, instead of computing them."""

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from workflow_scripts.config import Regions, Slides, Source
from workflow_scripts.core import schemas
from workflow_scripts.core.entry import log, parse_entry, run_entry
from workflow_scripts.core.slide_stage import Files, stage_parser
from workflow_scripts.core.status import Reason, SlideError, SlideStatus, excluded
from workflow_scripts.core.tables import read_table, status_meta, write_table
from workflow_scripts.interchange.places import SourceFiles, find_files
from workflow_scripts.interchange.slide import ImportedSlide, import_slide, write_features
from workflow_scripts.wsi.regions import refuse_enlarged

ENDED: Reason = "bad_features"


def feature_meta(
    status: SlideStatus, slide: ImportedSlide | None, source: Source, regions: Regions, name: str
) -> dict[str, Any]:
    """What the feature file notes about itself, with the keys that extract_features writes."""
    encoder = slide.patches.encoder if slide else ""
    facts = {
        "name": encoder or name,
        "pretrained_on": f"not known: features of {source.kind}",
        "licence": f"not known: features of {source.kind}",
        "recommended_mpp": None,
        "recorded": encoder,
    }
    return {
        **status_meta(status),
        **{"grid": regions.grid, "patch_px": regions.patch_px, "mpp": regions.mpp},
        "dim": slide.patches.features.shape[1] if slide else None,
        "encoder": facts,
        "preprocessing": {"source": source.kind},
        "source": {"kind": source.kind, "file": slide.patches.file if slide else None},
        "slide": slide.facts() if slide else {},
        "fingerprint": "imported",
        "n_patches": int((slide.regions.patches >= 0).sum()) if slide else 0,
        "n_regions": len(slide.regions.rows) if slide else 0,
        "unreadable_fraction": 0.0 if slide else None,
        "tissue_mm2": slide.tissue_mm2 if slide else 0.0,
    }


def slide_parser() -> ArgumentParser:
    parser = stage_parser(__doc__)
    parser.add_argument("--config", type=Source.model_validate_json, required=True, help="JSON: section source")
    parser.add_argument(
        "--regions-config", type=Regions.model_validate_json, required=True, help="JSON: section regions"
    )
    parser.add_argument("--slides-config", type=Slides.model_validate_json, required=True, help="JSON: section slides")
    parser.add_argument("--row", type=json.loads, required=True, help='JSON {"slide_id", "path", "mpp", "names"}')
    parser.add_argument("--check", required=True, help="check/{slide}.parquet")
    parser.add_argument("--encoder", required=True, help="name of the features where the files record none")
    parser.add_argument("--regions", required=True, help="output: regions/{slide}.parquet")
    parser.add_argument("--features", type=Path, required=True, help="output: its file in features/{encoder}/slides/")
    return parser


def _source(args: Namespace) -> SourceFiles:
    return find_files(args.config, args.row["slide_id"], args.row["path"], args.row.get("names"))


def files(args: Namespace) -> Files:
    return Files([str(args.features), args.regions], tables=[args.check], others=_source(args).inputs())


def run(args: Namespace, ended: SlideStatus | None = None) -> None:
    slide_id, check, slide = args.row["slide_id"], read_table(args.check).to_pylist()[0], None
    status = ended or SlideStatus(slide_id)
    if check["status"] != "ok":
        log.info("slide %s itself: %s, %s", slide_id, check["reason"], check["detail"])
    try:
        if status.ok:
            found, mpp = _source(args), args.row.get("mpp")
            slide = import_slide(slide_id, found, check, mpp, args.config, args.slides_config, args.regions_config)
            told = slide.facts()
            refuse_enlarged(told["mpp_x"], told["mpp_y"], args.slides_config)
            log.info("slide %s: %d patches, %d regions", slide_id, len(slide.patches.coords), len(slide.regions.rows))
    except SlideError as error:
        slide, status = None, excluded(slide_id, error.reason, error.detail)
    if not status.ok:
        log.info("slide %s: %s, %s", slide_id, status.reason, status.detail)
    meta = feature_meta(status, slide, args.config, args.regions_config, args.encoder)
    write_features(args.features, slide, args.regions_config.grid, meta)
    facts = status_meta(status) | {"tissue_mm2": meta["tissue_mm2"], "made_of": args.made_of}
    write_table(args.regions, slide.regions.rows if slide else [], schemas.REGIONS, facts)


def main(argv: list[str] | None = None) -> None:
    run(parse_entry(slide_parser(), argv))


if __name__ == "__main__":
    run_entry(main)
