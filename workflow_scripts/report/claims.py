"""Comparisons in pairs, and what may be said of them: better or worse of the primary head alone, after correction."""

from typing import Any, NamedTuple

from workflow_scripts.core.budgets import WHOLE
from workflow_scripts.core.trainings import of_pair
from workflow_scripts.report.results import Row, TaskTable
from workflow_scripts.report.wording import counted, interval, known, listed, metric_facts, number, p_value

_CLAIMS = ("better", "worse")


class Pair(NamedTuple):
    """Two representations that are compared with one head by the headline metric.

    Attributes:
        first: name of the one.
        second: name of the other, which is subtracted.
        row: row of `schemas.COMPARISONS`; null where they could not be compared.
        why: why they could not be.
    """

    first: str
    second: str
    row: Row | None
    why: str = ""

    @property
    def verdict(self) -> str:
        """`better`, `worse`, `not shown`, or `not compared`."""
        return self.row["verdict"] or "not shown" if self.row else "not compared"


class Sentence(NamedTuple):
    """What a pair shows: its verdict, what is said of it first, and the numbers behind it."""

    verdict: str
    says: str
    numbers: str


def pairs_of(table: TaskTable, head: str, comparisons: list[Row], wanted: list[tuple[str, str]]) -> list[Pair]:
    """Pairs of a head by the headline metric, all training patients learnt from.

    Args:
        table: results of the task.
        head: name of the head.
        comparisons: rows of `schemas.COMPARISONS` of all tasks.
        wanted: the pairs that were asked for, in their order; where it is empty, those that are there.
    """
    found = {
        (row["first"], row["second"]): row
        for row in comparisons
        if (row["task"], row["head"], row["budget"]) == (table.name, head, WHOLE) and row["headline"]
    }
    return [Pair(*pair, found.get(pair), _why(table, head, pair)) for pair in dict.fromkeys([*wanted, *found])]


def _why(table: TaskTable, head: str, pair: tuple[str, str]) -> str:
    """Why two representations could not be compared."""
    cells = table.cells(head)
    failed = [f"{name} failed: {cells[name]['failure']}" for name in pair if name in cells and cells[name]["failure"]]
    return "; ".join(failed or [f"{name} has no result" for name in pair if name not in cells])


def family_text(table: TaskTable, head: str, comparisons: list[Row]) -> str:
    """The comparisons that the p values of a head are corrected over, in words; empty where there are none."""
    mine = [row for row in comparisons if row["headline"] and row["budget"] == WHOLE and row["head"] == head]
    family = next((row["family"] for row in mine if row["task"] == table.name), None)
    tasks = list(dict.fromkeys(row["task"] for row in mine if row["family"] == family))
    if family is None:
        return ""
    size = next(row["comparisons"] for row in mine if row["task"] == table.name)
    where = f"{table.metric} in task {tasks[0]}" if len(tasks) == 1 else f"the headline metrics of {listed(tasks)}"
    return (
        f"Family of the correction (Holm 1979): {counted(size, 'pair')} of representations with head {head} by {where}"
    )


def pair_trainings(table: TaskTable, pair: Pair) -> str:
    """Of how many trainings a pair's difference is, in words; empty where neither is trained here."""
    return of_pair(pair.first, pair.second, (table.trainings(pair.first), table.trainings(pair.second)))


def sentence(table: TaskTable, head: str, pair: Pair) -> Sentence:
    """What one pair of the primary head shows. No difference that is shown is not none that is there."""
    first, second, row = pair.first, pair.second, pair.row
    if row is None:
        return Sentence("not compared", f"{first} and {second} are not compared", pair.why)
    both = [table.cell(name, head) for name in (first, second)]
    of = f" ({told})" if (told := pair_trainings(table, pair)) else ""
    values = " against ".join(number(cell["value"]) if cell else "–" for cell in both)
    numbers = f"{table.metric} {values}, difference {number(row['difference'], sign=True)}"
    if known(row["p_holm"]):
        numbers += (
            f" {interval(row['low'], row['high'], sign=True)}, p\u00a0{p_value(row['p_holm'])} corrected for "
            f"{counted(row['comparisons'], 'comparison')}"
        )
    else:
        numbers += ", whose interval and p value are not defined"
    if pair.verdict in _CLAIMS:
        return Sentence(pair.verdict, f"{first} is {pair.verdict} than {second}{of}", numbers)
    return Sentence("not shown", f"no difference shown between {first} and {second}{of}", numbers)


def shown_best(table: TaskTable, head: str, pairs: list[Pair]) -> str | None:
    """The representation with the best headline value, if it is shown to be better than the second best.

    These two are chosen by their results, so a test of them holds only where they are among the pairs that were named
    beforehand and corrected together.
    """
    scored = [(row["value"], name) for name, row in table.cells(head).items() if known(row["value"])]
    ranked = [name for _, name in sorted(scored, reverse=metric_facts(table.headline).larger_is_better)]
    if len(ranked) < 2:
        return None
    best, second = ranked[:2]
    winner: dict[tuple[Any, ...], str] = {(best, second, "better"): best, (second, best, "worse"): best}
    return next((winner[key] for pair in pairs if (key := (*pair[:2], pair.verdict)) in winner), None)
