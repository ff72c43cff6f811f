"""All that the page's script is told of the slides: their table, their pages, and the maps of them."""

from typing import NamedTuple

import pyarrow as pa
from markupsafe import Markup

from workflow_scripts.config.stages import class_tasks, with_prototypes
from workflow_scripts.report.attention_layer import attention_layers
from workflow_scripts.report.head_attention import HeadLayer, head_layers
from workflow_scripts.report.inputs import Results, Row
from workflow_scripts.report.palette import NO_PROTOTYPE, PROTOTYPES, SHARES
from workflow_scripts.report.region_room import most_tasks, region_room, without_regions, without_room
from workflow_scripts.report.settings import ReportSettings
from workflow_scripts.report.slide_map import slide_maps
from workflow_scripts.report.slide_pages import cosine_ends, nearest_slides, plan_pages, slide_layers, slide_page
from workflow_scripts.report.slide_table import label_columns, manifest_cells, slide_table
from workflow_scripts.report.templates import json_block

_OfRun = tuple[dict[str, pa.Table], dict[str, Row], dict[str, dict[int, int]]]


class Shown(NamedTuple):
    """What is told of the slides.

    Attributes:
        data: of the whole cohort, for the page's script.
        pages: JSON of each slide's page.
        facts: how many slides have a page, `with_page` and `without_page`, how many of them `with_attention` and
            `without_regions`, and whether larger pictures lie `apart`.
    """

    data: Row
    pages: list[Markup]
    facts: Row


def shown_run(settings: ReportSettings) -> str | None:
    """The run whose prototypes are mapped: the first that the configuration names of those that have any of slides."""
    return next(iter(with_prototypes(settings.runs)), None)


def shows_cohort_prototypes(settings: ReportSettings) -> bool:
    """Whether the prototypes that are mapped are of the whole cohort, and not of slides."""
    run = shown_run(settings)
    return run is not None and not settings.runs[run].has_slide_sets


def shown_classes(inputs: Results, settings: ReportSettings) -> dict[str, str]:
    """Class by slide in the first task with classes, by which example slides are chosen."""
    rows = [row for task in class_tasks(settings.tasks)[:1] for row in inputs.labels(task)]
    return {row["slide_id"]: row["label"] for row in rows if row["label"] is not None}


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
    ids = [slide["slide_id"] for slide in plan.slides]
    run = shown_run(settings)
    assigned, nearest, groups = _prototypes_of_slides(inputs, settings, run, ids)
    runs = [*([run] if run else []), *settings.runs]
    attention_of, attention = attention_layers(inputs, runs, ids)
    room = region_room(plan)
    of_heads = head_layers(inputs, settings, run, ids, most_tasks(plan.slides, room))
    out = without_room(plan.slides, room, len(of_heads))
    pages = [
        slide_page(
            *(inputs, slide, plan, assigned.get(name), nearest.get(name)),
            groups.get(name, groups.get("")),
            attention.get(name),
            of_heads,
        )
        for slide, name in zip(plan.slides, ids, strict=True)
    ]
    data = {
        "cohort": settings.cohort,
        "table": table,
        "pages": ids,
        "large": f"{folder}/slides/" if plan.apart else None,
        "layers": _layers(settings, groups, assigned, attention_of, of_heads),
        "run": run,
        "colours": PROTOTYPES,
        "shares": SHARES,
        "none": NO_PROTOTYPE,
        "maps": slide_maps(inputs, {name: settings.one_of(name) for name in settings.representations}, order),
    }
    facts = {"with_page": len(ids), "without_page": len(order) - len(ids), "apart": plan.apart}
    facts |= {"with_attention": len(attention), "without_regions": len(out)}
    told = [without_regions(page) if name in out else page for name, page in zip(ids, pages, strict=True)]
    return Shown(data, [json_block(page) for page in told], facts)


def _layers(
    settings: ReportSettings,
    groups: dict[str, dict[int, int]],
    assigned: dict[str, pa.Table],
    attention_of: str | None,
    of_heads: list[HeadLayer],
) -> list[Row]:
    """Layers of regions that the pages know."""
    looks = settings.one_of(attention_of) if attention_of else None
    return slide_layers(_count(groups), cosine_ends(assigned), looks, of_heads, shows_cohort_prototypes(settings))


def _count(groups: dict[str, dict[int, int]]) -> int:
    """How many groups there are."""
    return 1 + max((group for own in groups.values() for group in own.values()), default=-1)


def _prototypes_of_slides(inputs: Results, settings: ReportSettings, run: str | None, slides: list[str]) -> _OfRun:
    """Regions with prototype, nearest slide, and group of each prototype, by slide; of the run that is shown."""
    if run is None or run not in settings.run_rounds:
        return {}, {}, {}
    number = settings.runs[run].clustered_in(settings.run_rounds[run])
    return inputs.assignments(run, number, slides), nearest_slides(inputs, run, number), inputs.groups(run)
