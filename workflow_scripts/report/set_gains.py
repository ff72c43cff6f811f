"""What sets of prototypes add to slide vectors, as the report tells it of a task."""

from typing import NamedTuple

from workflow_scripts.core.budgets import WHOLE, budget_order
from workflow_scripts.core.tasks import LIKENESSES
from workflow_scripts.report.results import Row, in_order
from workflow_scripts.report.wording import counted, metric_name


class Gain(NamedTuple):
    """One comparison of the table.

    Attributes:
        row: row of `schemas.SETS`.
        learnt_from: its budget in words; empty of retrieval, where nothing is learnt.
        metric: as it is printed.
        on_sets: value of the metric on sets.
        on_vectors: the same on slide vectors.
    """

    row: Row
    learnt_from: str
    metric: str
    on_sets: float | None
    on_vectors: float | None


class Gains(NamedTuple):
    """The table of a task.

    Attributes:
        lines: by embedding, head and budget.
        family: what their p values are corrected over.
        budgets: whether heads learnt from parts of different sizes.
    """

    lines: list[Gain]
    family: str
    budgets: bool


def set_gains(task: str, sets: list[Row], results: list[Row], representations: list[str]) -> Gains | None:
    """The comparisons of a task; null where it has none.

    Args:
        task: its name.
        sets: rows of `schemas.SETS` of all tasks.
        results: rows of `schemas.RESULTS` of all tasks.
        representations: names in the order in which they are told.
    """
    mine = [row for row in sets if row["task"] == task]
    if not mine:
        return None
    keys = ("representation", "head", "budget", "metric")
    values = {tuple(row[key] for key in keys): row["value"] for row in results if row["task"] == task}
    names = in_order((row["first"] for row in mine), representations)
    heads = in_order((row["head"] for row in mine), [row["head"] for row in mine])
    ordered = sorted(
        mine, key=lambda row: (names.index(row["first"]), heads.index(row["head"]), budget_order(row["budget"]))
    )
    lines = [
        Gain(
            row,
            _learnt_from(row),
            metric_name(row["metric"]),
            values.get((row["first"], row["head"], row["budget"], row["metric"])),
            values.get((row["second"], row["other"], row["budget"], row["metric"])),
        )
        for row in ordered
    ]
    return Gains(lines, _family(mine, sets), len({row["budget"] for row in mine}) > 1)


def _learnt_from(row: Row) -> str:
    if row["head"] in LIKENESSES:
        return "–"
    return "all" if row["budget"] == WHOLE else str(row["budget"])


def _family(mine: list[Row], sets: list[Row]) -> str:
    """The comparisons that are corrected together, in words."""
    found = []
    for what, ranks in (("heads", False), ("retrieval", True)):
        of = [row for row in mine if (row["head"] in LIKENESSES) == ranks]
        if of:
            tasks = {row["task"] for row in sets if row["family"] == of[0]["family"]}
            where = "" if len(tasks) == 1 else f" in {counted(len(tasks), 'task')} of one family"
            found.append(f"{counted(of[0]['comparisons'], 'comparison')} of {what}{where}")
    return f"Corrected together (Holm 1979): {', and apart from them '.join(found)}"
