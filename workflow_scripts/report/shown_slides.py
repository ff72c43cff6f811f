"""All that the page's script is told of the slides: their table, their pages, and the maps of them."""

from typing import NamedTuple

from markupsafe import Markup

from workflow_scripts.report.inputs import Results, Row
from workflow_scripts.report.palette import NO_PROTOTYPE, PROTOTYPES
from workflow_scripts.report.settings import ReportSettings
from workflow_scripts.report.slide_map import slide_maps
from workflow_scripts.report.slide_pages import nearest_slides, plan_pages, slide_layers, slide_page
from workflow_scripts.report.slide_table import label_columns, manifest_cells, slide_table
from workflow_scripts.report.templates import json_block


class Shown(NamedTuple):
    """What is told of the slides.

    Attributes:
        data: of the whole cohort, for the page's script.
        pages: JSON of each slide's page.
        facts: how many slides have a page, `with_page` and `without_page`, and whether larger pictures lie `apart`.
    """

    data: Row
    pages: list[Markup]
    facts: Row


def shown_run(settings: ReportSettings) -> str | None:
    """The run whose prototypes are mapped: the first that has any."""
    with_prototypes = [name for name, run in settings.runs.items() if run.uses_prototypes]
    return with_prototypes[0] if with_prototypes else None


def paged_slides(inputs: Results, settings: ReportSettings, slides: list[Row], tests: list[Row], folder: str) -> Shown:
    """Table, pages and maps of the slides of both cohorts.

    Args:
        inputs: the results folder.
        settings: what the report is told.
        slides: rows of slides.parquet.
        tests: rows of test_slides.parquet.
        folder: name of the folder with larger pictures, beside the report.
    """
    table = slide_table(slides, tests, label_columns(inputs, settings), manifest_cells(inputs, settings))
    order = [row[0] for row in table["rows"]]
    plan = plan_pages([*slides, *tests])
    run = shown_run(settings)
    assigned, nearest, groups = {}, {}, {}
    if run is not None and run in settings.run_rounds:
        number = settings.runs[run].clustered_in(settings.run_rounds[run])
        assigned = inputs.assignments(run, number, [slide["slide_id"] for slide in plan.slides])
        nearest, groups = nearest_slides(inputs, run, number), inputs.groups(run)
    ids = [slide["slide_id"] for slide in plan.slides]
    pages = [
        json_block(
            slide_page(inputs, slide, plan, assigned.get(name), nearest.get(name), groups.get(name, groups.get("")))
        )
        for slide, name in zip(plan.slides, ids, strict=True)
    ]
    data = {
        "cohort": settings.cohort,
        "table": table,
        "pages": ids,
        "large": f"{folder}/slides/" if plan.apart else None,
        "layers": slide_layers(bool(groups)),
        "run": run,
        "colours": PROTOTYPES,
        "none": NO_PROTOTYPE,
        "maps": slide_maps(inputs, settings.representations, order),
    }
    return Shown(data, pages, {"with_page": len(ids), "without_page": len(order) - len(ids), "apart": plan.apart})
