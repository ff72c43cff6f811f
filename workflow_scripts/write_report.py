"""Write the cohort's report as one HTML file that opens without a network."""

from pathlib import Path

from workflow_scripts.core.entry import entry_parser, log, parse_entry, run_entry
from workflow_scripts.core.files import write_text
from workflow_scripts.report.inputs import Results
from workflow_scripts.report.page import plan_pictures, render_report
from workflow_scripts.report.prototypes import Pictures, Rectangle
from workflow_scripts.report.settings import ReportSettings
from workflow_scripts.report.slide_pages import write_pictures


def read_pictures(path_of: dict[str, str], wanted: dict[str, list[Rectangle]]) -> Pictures:
    """Pixels of rectangles of slides; those of a slide that cannot be read are left out.

    Args:
        path_of: file of each slide.
        wanted: rectangles of each slide.
    """
    from workflow_scripts.wsi.pixels import read_overview, read_region
    from workflow_scripts.wsi.slide import open_slide

    pictures: Pictures = {}
    for slide_id, rectangles in wanted.items():
        try:
            with open_slide(path_of[slide_id]) as slide:
                for place in rectangles:
                    x, y, width, height, out_width, out_height = place
                    if (width, height) == (slide.width, slide.height):
                        pixels = read_overview(slide, out_width, out_height)[0]
                    else:  # regions may stick out of the slide, and may have a damaged part
                        pixels = read_region(slide, x, y, width, height, 4, out_width // 4).rgb
                    pictures[slide_id, place] = pixels
        except (
            Exception
        ) as error:  # whatever a reader raises: pictures illustrate, and the report is written without them
            log.warning("slide %s is shown without pictures of its own: %s", slide_id, error)
    return pictures


def main(argv: list[str] | None = None) -> None:
    parser = entry_parser(__doc__)
    parser.add_argument("--config", type=ReportSettings.model_validate_json, required=True, help="settings as JSON")
    parser.add_argument("--results", type=Path, required=True, help="results folder of the cohort")
    parser.add_argument("--manifest", default="", help="slides.csv, for columns to colour slides by")
    parser.add_argument("--test-manifest", nargs="?", help="the same of the test cohort")
    parser.add_argument("--output", type=Path, required=True, help="HTML file to write")
    args = parse_entry(parser, argv)
    results = Results(args.results, tuple(map(Path, filter(None, [args.manifest, args.test_manifest]))))
    planned = plan_pictures(results, args.config)
    path_of = {slide["slide_id"]: slide["path"] or "" for slide in results.slides()}
    wanted = planned.wanted()
    pictures = read_pictures(path_of, wanted) if wanted else {}
    folder = args.output.with_name(f"{args.output.stem}_files")
    html = render_report(results, args.config, planned, pictures, folder.name)
    write_pictures(results, results.all_slides(args.config.test_cohort), folder)
    write_text(args.output, html)
    log.info("%s: %.1f MB", args.output, len(html.encode()) / 1e6)


if __name__ == "__main__":
    run_entry(main)
