"""The benchmark's part of the report: a section a task, of tables, pairs, facts and figures."""

import math
from collections.abc import Iterator
from typing import Any

from markupsafe import Markup

from workflow_scripts.config.stages import cell_of
from workflow_scripts.core.heads import HEADS
from workflow_scripts.core.tasks import KINDS, LIKENESSES
from workflow_scripts.report.claims import Pair, family_text, pair_trainings, pairs_of, sentence, shown_best
from workflow_scripts.report.curves import by_patient
from workflow_scripts.report.facts import denominators, spread_lines
from workflow_scripts.report.figures import Plot, Styles
from workflow_scripts.report.forest_figures import pair_forest, value_forest
from workflow_scripts.report.inputs import Results, Row, Splits
from workflow_scripts.report.results import (
    TaskTable,
    chance_cells,
    control,
    retrieval_note,
    retrieval_tables,
    task_tables,
    trainings_note,
)
from workflow_scripts.report.set_gains import set_gains
from workflow_scripts.report.settings import ReportSettings
from workflow_scripts.report.spread_figures import BudgetValue, FoldValue, budget_figure, fold_figure
from workflow_scripts.report.task_figures import FIGURES, Drawn
from workflow_scripts.report.wording import metric_facts


def benchmark_tables(inputs: Results, settings: ReportSettings, styles: Styles) -> list[Row]:
    """What the template is told of each task.

    Args:
        inputs: the results folder.
        settings: what the report is told.
        styles: of all representations.
    """
    comparisons, wanted = inputs.comparisons()
    rows, sets = inputs.benchmark(), inputs.sets()
    told = (rows, settings.tasks, settings.representations)
    found = {table.name: _retrieval(table, comparisons, wanted) for table in retrieval_tables(*told)}
    return [
        _section(table, inputs, settings, styles, comparisons, wanted)
        | {
            "retrieval": found.get(table.name),
            "sets": set_gains(table.name, sets, rows, settings.representations),
        }
        for table in task_tables(*told)
    ]


def _retrieval(table: TaskTable, comparisons: list[Row], wanted: list[tuple[str, str]]) -> Row:
    """What the template is told of retrieval in a task."""
    pairs = {name: [p for p in pairs_of(table, name, comparisons, wanted) if p.row] for name in table.heads}
    return {
        "table": table,
        "likenesses": {name: LIKENESSES[name] for name in table.heads},
        "note": retrieval_note(table),
        "chance": chance_cells(table),
        "pairs": pairs,
        "families": {name: family_text(table, name, comparisons) for name in table.heads},
        "pair_names": _pair_name,
        "pair_trainings": pair_trainings,
    }


def _section(
    table: TaskTable,
    inputs: Results,
    settings: ReportSettings,
    styles: Styles,
    comparisons: list[Row],
    wanted: list[tuple[str, str]],
) -> Row:
    task, splits = settings.tasks.get(table.name), inputs.splits(table.name)
    pairs = {head: pairs_of(table, head, comparisons, wanted) for head in table.heads}
    own = pairs[table.primary]
    elsewhere = [head for head, of in pairs.items() if not any(set(pair[:2]) & set(table.cells(head)) for pair in of)]
    permuted = bool(task and task.permuted)
    return {
        "table": table,
        "best": shown_best(table, table.primary, own),
        "pairs": pairs,
        # of a head that no representation of any pair has, such as those on sets, nothing is told here
        "other_heads": [head for head in table.heads[1:] if head not in elsewhere],
        "families": {head: family_text(table, head, comparisons) for head in table.heads},
        "sentences": [sentence(table, table.primary, pair) for pair in own],
        "permuted": permuted,
        "control": control(table) if permuted else "",
        "facts": denominators(table, splits.facts),
        "spread": spread_lines(table),
        "trained": trainings_note([table]),
        "forest": value_forest(table, table.primary, styles),
        "pair_forest": pair_forest(table, own),
        "curves": list(_figures(table, inputs, splits, styles)),
        "pair_names": _pair_name,
        "pair_trainings": pair_trainings,
    }


def _pair_name(pair: Pair) -> str:
    return f"{pair.first} − {pair.second}"


def _figures(table: TaskTable, inputs: Results, splits: Splits, styles: Styles) -> Iterator[dict[str, Any]]:
    """Figures of the primary head: by fold, by size of the training part, and of its predictions."""
    metric, head = metric_facts(table.headline), table.primary
    values = {name: _fold_values(row, splits.tests) for name, row in table.cells(head).items()}
    yield from _drawn(
        fold_figure(values, metric, styles),
        f"By test part: {table.metric}",
        Markup(
            "Each dot is a test part, each stroke the mean of those of a repeat. A test part has few patients, so the "
            "spread of the dots is no interval. Dashed: chance."
        )
        + _beside_parts(table),
    )
    if len(table.budgets) > 1:
        by_size = {name: _budget_values(table, name) for name in table.representations}
        yield from _drawn(
            budget_figure(by_size, metric, styles),
            f"By the patients trained on: {table.metric}",
            Markup("So many of each class, a share of a training part, or all of it, with 95 % intervals."),
        )
    yield from _curves(table, inputs, styles)


_BESIDE_PARTS = {
    "pooled over folds": "is not their mean: it takes the predictions of all test parts of a repeat together",
    "within folds": "may differ from their mean, for each test part counts there by its cases or pairs of them",
    "mean of draws": "is their mean",
    "held-out part": "is that of the one test part",
}


def _beside_parts(table: TaskTable) -> Markup:
    """How the headline of the tables follows from the test parts."""
    found = {row["aggregation"] for row in table.cells(table.primary).values() if not row["failure"]}
    told = [_BESIDE_PARTS[way] for way in sorted(found & set(_BESIDE_PARTS))]
    return Markup(" The {} in the tables {}.").format(table.metric, told[0]) if len(told) == 1 else Markup("")


def _drawn(picture: Plot | None, shows: str, caption: Markup) -> Iterator[dict[str, Any]]:
    if picture:
        yield Drawn(picture, shows, caption)._asdict()


def _fold_values(row: Row, tests: list[tuple[int, int]]) -> list[FoldValue]:
    """Values of the test parts; all as of one repeat where it is not known which they are."""
    values = row["folds"] or []
    if len(tests) != len(values):
        tests = [(0, number) for number in range(len(values))]
    return [FoldValue(*test, value) for test, value in zip(tests, values, strict=True)]


def _budget_values(table: TaskTable, representation: str) -> list[BudgetValue]:
    """Values of the primary head by budget."""
    found = [table.cell(representation, table.primary, budget=budget) for budget in table.budgets]
    keys = ("value", "ci_low", "ci_high")
    return [
        BudgetValue(row["budget"], *(math.nan if row[key] is None else row[key] for key in keys))
        for row in found
        if row
    ]


def _curves(table: TaskTable, inputs: Results, styles: Styles) -> Iterator[dict[str, Any]]:
    """Figures of the predictions of the primary head; of several trainings of a representation the first."""
    head, kind = table.primary, KINDS[table.kind]
    read = {name: inputs.predictions(table.name, name, cell_of(head), head) for name in table.representations}
    found = {name: p for name, p in read.items() if p is not None and p.rows}
    draw = FIGURES.get(kind.figure)
    if not found or draw is None:
        return
    first = next(iter(found.values()))
    unit = "slide_id" if first.level == "slide" else "patient_id"
    patients = {name: by_patient(p.rows, kind, first.classes, unit) for name, p in found.items()}
    by_fold = head in HEADS and not (HEADS[head].common_scale and first.balanced)
    note = _of_trainings(table)
    for drawn in draw(patients, first.classes, styles, by_fold):
        yield drawn._asdict() | {"caption": drawn.caption + note}


def _of_trainings(table: TaskTable) -> Markup:
    several = {name: len(row["trainings"]) for name, row in table.cells(table.primary).items()}
    told = [f"{name} (the first of {count})" for name, count in several.items() if count > 1]
    return Markup(" Of several trainings one is drawn: {}.").format(", ".join(told)) if told else Markup("")
