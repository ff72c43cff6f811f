"""Draw a cohort's figures for a paper: results, training, prototype maps, matched regions, and the atlas."""

from pathlib import Path

from workflow_scripts.core.entry import entry_parser, log, parse_entry, run_entry
from workflow_scripts.core.region_groups import by_slide, read_region_groups
from workflow_scripts.core.spread import spread_by_class
from workflow_scripts.core.stale_files import remove_stale
from workflow_scripts.core.tables import read_table
from workflow_scripts.report.figure_files import write_captions, write_sheet
from workflow_scripts.report.figure_set import result_sheets, training_sheets
from workflow_scripts.report.group_sheets import Groups, group_sheets, wanted_pixels
from workflow_scripts.report.inputs import Results, Row
from workflow_scripts.report.settings import ReportSettings
from workflow_scripts.report.shown_slides import shown_classes, shown_run
from workflow_scripts.write_report import read_pictures


def _nearest_slides(results: Results, run: str, number: int, slides: list[str]) -> dict[str, Row]:
    rows = results.prototypes(run, number, "neighbours", slides)
    return {row["slide_id"]: row for row in rows if row["rank"] == 1}


def read_groups(results: Results, settings: ReportSettings) -> Groups | None:
    """The groups of the run that is shown, and what its figures show; None where no run has."""
    run = shown_run(settings)
    if run is None:
        return None
    number = settings.runs[run].clustered_in(settings.run_rounds[run])
    folder = results.root / "pretrain" / run
    assigned = f"{folder}/round_{number:02d}/assignments.parquet"
    known = {slide["slide_id"]: slide for slide in results.slides() if slide["width"] and slide["height"]}
    with_groups = set(read_table(assigned, ["slide_id"])["slide_id"].to_pylist())
    classes, count = shown_classes(results, settings), settings.report.example_slides
    drawn = spread_by_class([slide for slide in known if slide in with_groups], classes, count)
    neighbours = _nearest_slides(results, run, number, drawn)
    wanted = list(dict.fromkeys([*drawn, *(row["neighbour_id"] for row in neighbours.values())]))
    regions: dict[str, list[Row]] = {}
    for slide, table in by_slide(read_region_groups(assigned, folder / "groups.parquet", wanted)):
        places = {row["region_id"]: row for row in results.regions(slide)}
        regions[slide] = [{**places[row["region_id"]], **row} for row in table.to_pylist()]
    atlas = read_table(folder / "atlas.parquet").to_pylist()
    return Groups(settings.one_of(run), atlas, known, regions, drawn, neighbours)


def main(argv: list[str] | None = None) -> None:
    parser = entry_parser(__doc__)
    parser.add_argument("--config", type=ReportSettings.model_validate_json, required=True, help="settings as JSON")
    parser.add_argument("--results", type=Path, required=True, help="results folder of the cohort")
    parser.add_argument("--output", type=Path, required=True, help="captions.md; the figures are written beside it")
    args = parse_entry(parser, argv)
    results, folder = Results(args.results), args.output.parent
    sheets = [*result_sheets(results, args.config), *training_sheets(results, args.config)]
    if groups := read_groups(results, args.config):
        path_of = {slide["slide_id"]: slide["path"] or "" for slide in results.slides()}
        sheets += group_sheets(groups, read_pictures(path_of, wanted_pixels(groups)))
    # those of tasks, runs and slides that are no longer there go
    remove_stale(folder, [file for sheet in sheets for file in write_sheet(sheet, folder)])
    write_captions(sheets, args.output, args.config.cohort)
    log.info("%d figures in %s", len(sheets), folder)


if __name__ == "__main__":
    run_entry(main)
