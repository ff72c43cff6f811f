"""The table of slides that a reader filters and sorts in the page: its columns, and a row a slide."""

import math
from typing import Any, NamedTuple

from workflow_scripts.report.cohort import excluded_first
from workflow_scripts.report.inputs import Results, Row
from workflow_scripts.report.manifest_columns import few_valued, label_columns_of
from workflow_scripts.report.settings import ReportSettings


class Column(NamedTuple):
    """A column.

    Attributes:
        key: names it in the page's script.
        title: its heading.
        kind: `id`, `text` or `num`.
        digits: of a number, behind the point.
        chosen: whether its values can be chosen to filter by, and to colour the map of slides by.
        detail: whether it is told on the slide's own page alone, and in the download.
    """

    key: str
    title: str
    kind: str = "text"
    digits: int = 0
    chosen: bool = False
    detail: bool = False


_COLUMNS = (
    Column("slide_id", "Slide", "id"),
    Column("cohort", "Cohort", chosen=True),
    Column("status", "Status", chosen=True),
    Column("reason", "Reason", chosen=True),
    Column("detail", "Detail"),
    Column("patient_id", "Patient"),
    Column("mpp_x", "Scale, µm/px", "num", 4),
    Column("mpp_y", "Scale along y, µm/px", "num", 4, detail=True),
    Column("mpp_source", "Scale from", chosen=True),
    Column("tissue_mm2", "Tissue, mm²", "num", 1, chosen=True),
    Column("n_regions", "Regions", "num", chosen=True),
    Column("unreadable", "Unreadable, %", "num", 1),
    Column("pen", "Pen, %", "num", 1),
    Column("blurred", "Blurred, %", "num", 1),
    Column("width", "Width, px", "num", detail=True),
    Column("height", "Height, px", "num", detail=True),
    Column("vendor", "Format", chosen=True),
)
_PERCENT = {"unreadable": "unreadable_fraction", "pen": "pen_fraction", "blurred": "blurred_fraction"}


def _cells(slide: Row) -> Row:
    shares = {key: slide[name] for key, name in _PERCENT.items()}
    percent = {key: None if share is None else round(100 * share, 4) for key, share in shares.items()}
    return slide | percent | {"status": "used" if slide["status"] == "ok" else "excluded"}


def _plain(value: Any) -> Any:
    """A value that JSON has: NaN and infinities are null."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def label_columns(inputs: Results, settings: ReportSettings) -> tuple[list[Column], dict[str, Row]]:
    """Columns of the tasks' labels as they were read, and each slide's labels; a control's dealt ones are left out."""
    columns: dict[str, Column] = {}
    found: dict[str, Row] = {}
    for task in (name for name, facts in settings.tasks.items() if not facts.permuted):
        for row in inputs.labels(task):
            told = {"label": (task, task), "value": (task, task), "time": (f"{task}.time", f"{task}, time")}
            told["event"] = (f"{task}.event", f"{task}, event")
            for name, (key, title) in told.items():
                value = row[name]
                if value is None:
                    continue
                number = isinstance(value, float)
                digits = 2 if number else 0
                columns.setdefault(key, Column(key, title, "num" if number else "text", digits, chosen=True))
                found.setdefault(row["slide_id"], {})[key] = ("no", "yes")[value] if isinstance(value, bool) else value
    return list(columns.values()), found


def manifest_cells(inputs: Results, settings: ReportSettings) -> tuple[list[Column], dict[str, Row]]:
    """Columns of the manifest with few values that are no labels, told on the slides' pages, and each slide's cells."""
    columns, found = [], dict[str, Row]()
    taken = label_columns_of(settings.tasks.values())
    for name, values in few_valued(inputs.manifest_rows(), taken).items():
        columns.append(Column(f"manifest.{name}", name, chosen=True, detail=True))
        for slide_id, value in values.items():
            found.setdefault(slide_id, {})[f"manifest.{name}"] = value
    return columns, found


def slide_table(slides: list[Row], tests: list[Row], *more: tuple[list[Column], dict[str, Row]]) -> Row:
    """What the page's script is told of the table: `columns`, and `rows` with the values in their order.

    Args:
        slides: rows of slides.parquet.
        tests: rows of test_slides.parquet; they stand below the others.
        more: from `label_columns` and `manifest_cells`.
    """
    first, behind = _COLUMNS[:6], _COLUMNS[6:]
    columns = [
        column
        for column in (*first, *(one for own, _ in more for one in own), *behind)
        if column.key != "cohort" or tests
    ]
    rows = []
    for cohort, own in (("first", slides), ("test", tests)):
        for slide in excluded_first(own):
            cells = _cells(slide) | {"cohort": cohort}
            for _, of_slide in more:
                cells |= of_slide.get(slide["slide_id"], {})
            rows.append([_plain(cells.get(column.key)) for column in columns])
    return {"columns": [column._asdict() for column in columns], "rows": rows}
