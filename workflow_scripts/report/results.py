"""Results of one task as a table: representations, heads, budgets and metrics."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from workflow_scripts.core.budgets import WHOLE, budget_order
from workflow_scripts.core.tasks import KINDS, LIKENESSES, RETRIEVAL
from workflow_scripts.core.trainings import of_value
from workflow_scripts.report.wording import counted, known, listed, metric_facts, metric_name, number

Row = dict[str, Any]
"""Budget of splits that train on everything, of which claims are made."""


@dataclass(frozen=True)
class TaskTable:
    """What the benchmark found in one task.

    Attributes:
        name: of the task.
        kind: of the task.
        headline: the metric that claims are made of.
        representations: names, in the order of the tables.
        heads: names, the primary one first.
        primary: the head that claims are made of.
        budgets: sizes of the training part, from the smallest on; few-shot ones before fractions.
        rows: rows of `schemas.RESULTS` by representation, head, budget and metric.
    """

    name: str
    kind: str
    headline: str
    representations: list[str]
    heads: list[str]
    primary: str
    budgets: list[str]
    rows: dict[tuple[str, str, str, str], Row]

    def cell(self, representation: str, head: str, metric: str = "", budget: str = WHOLE) -> Row | None:
        """The row of one cell, by default of the headline metric; null where there is none."""
        return self.rows.get((representation, head, budget, metric or self.headline))

    def metrics(self, head: str) -> list[str]:
        """Metrics of a head, in their order."""
        return list(dict.fromkeys(metric for _, of, _, metric in self.rows if of == head))

    def cells(self, head: str) -> dict[str, Row]:
        """Headline rows of a head by representation, trained on everything."""
        found = {name: self.cell(name, head) for name in self.representations}
        return {name: row for name, row in found.items() if row is not None}

    @property
    def metric(self) -> str:
        """The headline metric as it is printed."""
        return metric_name(self.headline)

    def trainings(self, representation: str) -> int:
        """Trainings by seeds whose mean a representation's values are; 0 of what is not trained here."""
        of = (len(row["trainings"]) for (name, *_), row in self.rows.items() if name == representation)
        return next(of, 0)

    def failures(self) -> list[tuple[str, str, str]]:
        """Representation, head and reason of what failed; beside the head the budgets, where it is not all of them."""
        found: dict[tuple[str, str, str], list[str]] = {}
        for (name, head, budget, _), row in self.rows.items():
            if row["failure"]:
                found.setdefault((name, head, row["failure"]), []).append(budget)
        return [
            (name, head if set(own) == set(self.budgets) else f"{head} trained on {listed(own)}", why)
            for (name, head, why), own in found.items()
        ]


def in_order(values: Iterable[str], first: Iterable[str]) -> list[str]:
    """Different values: those of `first` in that order, then the others in their own."""
    found, wanted = list(dict.fromkeys(values)), list(dict.fromkeys(first))
    return [value for value in wanted if value in found] + [value for value in found if value not in wanted]


def task_tables(rows: list[Row], tasks: Iterable[str], representations: Iterable[str]) -> list[TaskTable]:
    """A table for each task that has results of heads.

    Args:
        rows: rows of `schemas.RESULTS`.
        tasks: names in the order in which they are told.
        representations: names in the order in which they are told.
    """
    return _tables([row for row in rows if row["head"] not in LIKENESSES], tasks, representations)


def retrieval_tables(rows: list[Row], tasks: Iterable[str], representations: Iterable[str]) -> list[TaskTable]:
    """The same of retrieval, with likenesses in the place of heads; of tasks in which slides are retrieved."""
    return _tables([row for row in rows if row["head"] in LIKENESSES], tasks, representations)


def chance_cells(table: TaskTable) -> dict[str, float | None]:
    """What slides in random order are expected to have, by metric of retrieval: the same for all representations."""
    found = {metric: row["chance"] for (_, _, _, metric), row in table.rows.items()}
    return {metric: found.get(metric) for metric in RETRIEVAL}


def retrieval_note(table: TaskTable) -> str:
    """Who was searched for, and what a random order is expected to have."""
    row = next(iter(table.rows.values()))
    chance = ", ".join(f"{metric_name(metric)} {number(value)}" for metric, value in chance_cells(table).items())
    return (
        f"{counted(row['n_slides'], 'query', 'queries')} of {counted(row['n_patients'], 'patient')}, "
        f"{row['aggregation']}; {counted(row['smallest_group'], 'patient')} in the smallest group; by chance: {chance}"
    )


def _tables(rows: list[Row], tasks: Iterable[str], representations: Iterable[str]) -> list[TaskTable]:
    wanted = list(representations)
    by_task: dict[str, list[Row]] = {name: [] for name in in_order((row["task"] for row in rows), tasks)}
    for row in rows:
        by_task[row["task"]].append(row)
    return [_table(name, mine, wanted) for name, mine in by_task.items()]


def _table(name: str, rows: list[Row], representations: list[str]) -> TaskTable:
    heads = in_order((row["head"] for row in rows), (row["head"] for row in rows if row["primary"]))
    kind = rows[0]["kind"]
    return TaskTable(
        name=name,
        kind=kind,
        headline=next((row["metric"] for row in rows if row["headline"]), "") or KINDS[kind].headline,
        representations=in_order((row["representation"] for row in rows), representations),
        heads=heads,
        primary=heads[0],
        budgets=sorted({row["budget"] for row in rows}, key=budget_order),
        rows={(row["representation"], row["head"], row["budget"], row["metric"]): row for row in rows},
    )


def trainings_note(tables: Iterable[TaskTable]) -> str:
    """Of how many trainings the values of representations are, as a sentence; empty where none is trained here."""
    names: dict[str, list[str]] = {}
    for name, count in {name: t.trainings(name) for t in tables for name in t.representations}.items():
        names.setdefault(of_value(count), []).append(name)
    told = [f"{of}: {listed(found)}" for of, found in names.items() if of]
    return f"By seeds of pretraining, {'; '.join(told)}." if told else ""


def missing_value(row: Row) -> str:
    """Why a cell has no value, in words; empty where it has one."""
    if row["failure"]:
        return f"failed: {row['failure']}"
    if known(row["value"]):
        return ""
    return f"not defined in any of {counted(row['n_repeats'], 'repeat')}"


def smaller_is_better(rows: list[Row]) -> list[str]:
    """Names, as they are printed, of the metrics of which a smaller value is the better one."""
    metrics = dict.fromkeys(row["metric"] for row in rows)
    return [metric_name(name) for name in metrics if not metric_facts(name).larger_is_better]


def control(table: TaskTable) -> str:
    """In how many cells of labels dealt by chance the interval holds chance, or why that cannot be said."""
    metric = KINDS[table.kind].of_chance
    if metric is None:
        return (
            f"No metric of kind {table.kind} has a value of chance, so that these intervals cannot be held against it."
        )
    facts, found = metric_facts(metric), [table.cell(name, h, metric) for h in table.heads for name in table.cells(h)]
    told = [row for row in found if row and known(row["ci_low"]) and known(row["ci_high"])]
    aside = (
        "" if metric == table.headline else f"{table.metric} has no value of chance, so {facts.label} is looked at. "
    )
    if not told:
        return f"{aside}No cell of representation and head has an interval of {facts.label}."
    holding = sum(row["ci_low"] <= facts.chance <= row["ci_high"] for row in told)
    return (
        f"{aside}The 95 % interval of {facts.label} holds chance ({number(facts.chance, 1)}) in {holding} of "
        f"{counted(len(told), 'cell')} of representation and head. Of many cohorts 95 % are expected; the cells of one "
        "cohort share its patients, so they hold or miss together."
    )
