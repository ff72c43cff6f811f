"""What heads of the benchmark attend to on a slide: the rank of each region's weight within it."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from workflow_scripts.config.stages import cell_of
from workflow_scripts.core.heads import HEADS
from workflow_scripts.core.ranks import middle_ranks
from workflow_scripts.report.inputs import Results, Row
from workflow_scripts.report.results import in_order, task_tables
from workflow_scripts.report.settings import ReportSettings


class HeadLayer(NamedTuple):
    """A layer of the slides' pages.

    Attributes:
        facts: what the page's script is told of it, as `slide_pages.slide_layers` says.
        of_slide: rows of the head's attention.parquet, by slide.
    """

    facts: Row
    of_slide: dict[str, pa.Table]


def region_values(places: pa.Table, attention: pa.Table) -> tuple[list[float | None], list[float | None]]:
    """Rank of each region within the slide, and its weight as a multiple of an even share; null where not known.

    Args:
        places: the slide's regions.
        attention: region_id and attention of some of them.
    """
    at = {region: row for row, region in enumerate(attention["region_id"].to_pylist())}
    rows = [at.get(region) for region in places["region_id"].to_pylist()]
    known = np.array([row for row in rows if row is not None], np.int64)
    weights = attention["attention"].to_numpy()[known]
    told = iter(zip(middle_ranks(weights).round(2).tolist(), weights.astype(float).round(2).tolist(), strict=True))
    found = [(None, None) if row is None else next(told) for row in rows]
    return [rank for rank, _ in found], [weight for _, weight in found]


def head_layers(
    inputs: Results, settings: ReportSettings, run: str | None, slides: list[str], most: int
) -> list[HeadLayer]:
    """A layer for each task of which some slides have a head's attention, but for those of dealt labels.

    It is of the task's first head that attends, on the run that is shown, or where that has none, on the first
    representation of regions that has some.

    Args:
        inputs: the results folder.
        settings: what the report is told.
        run: the run that is shown.
        slides: those that have a page.
        most: layers, at most.
    """
    layers: list[HeadLayer] = []
    for table in task_tables(inputs.benchmark(), settings.tasks, settings.representations):
        task = settings.tasks.get(table.name)
        if task is None or task.permuted or len(layers) >= most:
            continue
        names = in_order(table.representations, [run] if run else [])
        heads = [head for head in table.heads if head in HEADS and HEADS[head].attends]
        for head, name in ((head, name) for head in heads for name in names):
            found = inputs.head_attention(table.name, name, cell_of(head), head, slides)
            if _are_regions(inputs, found):
                of = "patient" if task.slides_of_patient == "bag" else "slide"
                layers.append(HeadLayer(_facts(table.name, head, settings.one_of(name), of), found))
                break
    return layers


def _are_regions(inputs: Results, of_slide: dict[str, pa.Table]) -> bool:
    """Whether what a head looks at are regions of the slides, and not prototypes or vectors of a table."""
    for slide_id, attention in of_slide.items():
        places = inputs.places(slide_id)
        if places is not None:
            return not set(places["region_id"].to_pylist()).isdisjoint(attention["region_id"].to_pylist())
    return False


def _facts(task: str, head: str, representation: str, bag: str) -> Row:
    """What the page's script is told; `bag` is what an even share is of."""
    note = (
        f"rank of a region's weight within the slide, on {representation}, mean over the fits that had not seen the "
        f"slide; below the pointer the weight as a multiple of an even share in the {bag}; a hint, not what decides"
    )
    title = f"Attention of {head}, task {task} (rank within the slide)"
    layer = {"key": f"attention_{task}", "title": title, "kind": "share", "shared": True, "names": None, "note": note}
    return layer | {"absent": "not known of this slide, which no fit of the head was tested on"}
