"""Start a project: look at the slides below a folder, write slides.csv and a commented my.yaml, tell what to run."""

import argparse
from pathlib import Path

from workflow_scripts.check_slide import check
from workflow_scripts.config import Config, Features, Slides
from workflow_scripts.config.encoders import ENCODERS
from workflow_scripts.core.entry import entry_parser, parse_entry, run_entry
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.gpu import visible_devices
from workflow_scripts.core.manifest import SlideRow, read_manifest
from workflow_scripts.encoders.hub import hub_weights
from workflow_scripts.make_manifest import manifest_text
from workflow_scripts.project.encoder import find_encoders
from workflow_scripts.project.layout import GRIDS
from workflow_scripts.project.machine import Machine, free_disk, usable_cores
from workflow_scripts.project.places import choose_source, listed_slides, seen_from
from workflow_scripts.project.plan import make_plan
from workflow_scripts.project.settings import check_name, cohort_name
from workflow_scripts.project.survey import Counts, RegionCount, Row, look_at_slides
from workflow_scripts.project.write import write_project
from workflow_scripts.slpd.memory import available_memory
from workflow_scripts.tissue.outline import find_outline
from workflow_scripts.wsi.overview import read_at_scale
from workflow_scripts.wsi.regions import enlargement_note, region_rows
from workflow_scripts.wsi.slide import open_slide

_PAPER = Config()
_ROOT = Path(__file__).resolve().parents[1]


def check_one(slide: SlideRow) -> Row:
    """Row of `schemas.CHECK`; `guessable` tells whether the objective would give a scale where none is recorded."""
    mpp = slide.mpp if slide.mpp is None or slide.mpp_y is None else (slide.mpp, slide.mpp_y)
    row = check(slide.slide_id, slide.path, mpp, _PAPER.slides)
    if row["reason"] == "no_mpp":
        return row | {"guessable": check(*slide[:2], None, Slides(mpp_from_objective=True))["status"] == "ok"}
    note = enlargement_note(row["mpp_x"], row["mpp_y"], _PAPER.regions) if row["status"] == "ok" else ""
    return row | {"detail": "; ".join(filter(None, (row["detail"], note)))}


def count_regions(row: Row) -> Counts:
    """Regions of a slide and their patches of tissue, for each size of region, by its tissue.

    Raises:
        SlideError: the tissue cannot be found.
    """
    size, scale = (row["width"], row["height"]), (row["mpp_x"], row["mpp_y"])
    with open_slide(row["path"]) as slide:
        view = read_at_scale(slide, *scale, _PAPER.tissue.mpp)
    mask = find_outline(view, [], *size, _PAPER.tissue).mask
    counts = {}
    for grid in GRIDS:
        regions = region_rows(row["slide_id"], mask, *size, *scale, _PAPER.regions.model_copy(update={"grid": grid}))
        counts[grid] = RegionCount(len(regions), sum(int((region["patch_tissue"] > 0).sum()) for region in regions))
    return counts


def in_cache(name: str) -> bool:
    """Whether the hub's cache on this machine has the weights of an encoder of the registry."""
    try:
        return hub_weights(Features(model=name), ENCODERS[name]).is_file()
    except UserError:
        return False


def this_machine(folder: Path) -> Machine:
    from workflow_scripts.core.arithmetic import multiplies_bfloat16 as bfloat16  # torch, which no refusal waits for

    return Machine(usable_cores(), bfloat16("cpu"), available_memory(), free_disk(folder), len(visible_devices()))


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = entry_parser(__doc__)
    parser.add_argument("folder", type=Path, nargs="?", help="folder with the slides, searched with all folders in it")
    parser.add_argument("--manifest", type=Path, help="your own slides.csv in place of a folder; it is not changed")
    parser.add_argument("--output-folder", type=Path, default=Path(), help="where my.yaml and slides.csv go")
    parser.add_argument("--name", help="of the cohort; by default the folder's, or as in the my.yaml that is replaced")
    parser.add_argument("--sample", type=int, default=300, help="slides that are opened at most, drawn by chance")
    parser.add_argument("--force", action="store_true", help="write over my.yaml and slides.csv")
    return parse_entry(parser, argv)


def main(argv: list[str] | None = None) -> None:
    args = _arguments(argv)
    source = choose_source(args.folder, args.manifest, args.output_folder, args.force)
    name = check_name(args.name) if args.name else cohort_name(source.name)
    own = read_manifest(args.manifest) if args.manifest else None
    text = args.manifest.read_text("utf-8-sig") if own else manifest_text(args.folder.absolute())
    slides = seen_from(args.output_folder, own or listed_slides(text))
    survey = look_at_slides(slides, max(1, args.sample), check_one, count_regions)
    found = find_encoders(in_cache, [args.output_folder / "resources/weights", _ROOT / "resources/weights"])
    plan = make_plan(survey, this_machine(args.output_folder), found, name, source.manifest)
    print(write_project(plan, source, text, _ROOT))


if __name__ == "__main__":
    run_entry(main)
