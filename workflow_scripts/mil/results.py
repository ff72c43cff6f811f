"""Tables of results and of comparisons from the predictions of all cells."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workflow_scripts.core.budgets import WHOLE
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.heads import HEADS
from workflow_scripts.core.tasks import KINDS, METRICS, headline_of
from workflow_scripts.mil.intervals import Interval, covers, difference, holm, interval, spread
from workflow_scripts.mil.metrics import metrics_of
from workflow_scripts.mil.predictions import read_tested
from workflow_scripts.mil.scoring import Scored, score
from workflow_scripts.mil.variance import mean_of

Row = dict[str, Any]
_FACTS = ("task", "kind", "family", "level", "n_slides", "n_excluded", "splits")


@dataclass(frozen=True)
class Cell:
    """One head on one representation in one task.

    Attributes:
        facts: metadata of its predictions.
        head: its name.
        failures: by budget, why there are no predictions.
        scored: by budget and metric, of the budgets that have some.
        trainings: by seeds, whose mean it is; itself where there is one, and none of what is not trained here.
    """

    facts: dict[str, Any]
    head: str
    failures: dict[str, str]
    scored: dict[tuple[str, str], Scored]
    trainings: tuple[str, ...] = ()

    @property
    def representation(self) -> str:
        return str(self.facts["representation"])

    @property
    def place(self) -> tuple[str, str]:
        return str(self.facts["task"]), self.head


def score_cells(table: pa.Table, facts: dict[str, Any]) -> list[Cell]:
    """Cells of one file of predictions: a cell a head.

    Args:
        table: rows of `PREDICTIONS`.
        facts: its metadata, as `fit_head` writes it.
    """
    kind, classes = KINDS[facts["kind"]], facts["classes"]
    cells = []
    for head in facts["heads"]:
        failures, scored = facts["failures"].get(head, {}), {}
        mine = table.filter(pc.equal(table["head"], head))
        for budget, design in facts["budgets"].items():
            if budget in failures:
                continue
            rows = mine.filter(pc.equal(mine["budget"], budget))
            tested = read_tested(rows, kind, classes, facts["level"] == "slide", facts.get("times", []))
            for metric in metrics_of(facts["kind"], len(classes)):
                width = facts["width"] if budget == WHOLE else None
                splits = (design["design"], design["learnt_per_left"], HEADS[head], facts["balanced"], width)
                scored[budget, metric] = score(metric, kind, tested, *splits)
        cells.append(Cell(facts, head, failures, scored))
    return cells


def mean_cells(cells: Sequence[Cell], trainings: dict[str, list[str]]) -> list[Cell]:
    """The cells, with those of one representation trained by several seeds replaced by their mean.

    Args:
        cells: of all representations.
        trainings: names of the trainings of each representation that is trained here.
    """
    name_of = {member: name for name, members in trainings.items() for member in members}
    together: dict[tuple[str, str, str], list[Cell]] = {}
    for cell in cells:
        name = name_of.get(cell.representation, cell.representation)
        together.setdefault((*cell.place, name), []).append(cell)
    return [
        _mean_cell(name, found) if len(found) > 1 else replace(found[0], trainings=tuple(trainings.get(name, ())))
        for (*_, name), found in together.items()
    ]


def _mean_cell(name: str, cells: list[Cell]) -> Cell:
    first = cells[0]
    facts = first.facts | {"representation": name}
    failures: dict[str, str] = {}
    for cell in cells:
        failures = {budget: f"{cell.representation}: {why}" for budget, why in cell.failures.items()} | failures
    scored = {
        key: Scored(
            mean_of([cell.scored[key].scores for cell in cells]),
            np.mean([cell.scored[key].by_seed for cell in cells], axis=0),
            np.mean([cell.scored[key].by_fold for cell in cells], axis=0),
            one.within_folds,
            one.patient_ids,
            one.n_pairs,
            one.chance,
        )
        for key, one in first.scored.items()
        if key[0] not in failures
    }
    return Cell(facts, first.head, failures, scored, tuple(cell.representation for cell in cells))


def result_rows(cells: Iterable[Cell], primary: dict[str, str]) -> list[Row]:
    """Rows of `schemas.RESULTS`, by task, head, representation, budget and the metrics' own order.

    Args:
        cells: of all tasks.
        primary: the head of each kind of task that claims are made of.
    """
    ordered = sorted(cells, key=lambda cell: (cell.place[0], cell.head, cell.representation))
    return [row for cell in ordered for row in _rows_of(cell, primary)]


def _rows_of(cell: Cell, primary: dict[str, str]) -> list[Row]:
    first = headline_of(cell.facts["kind"], cell.head)
    base = {name: cell.facts[name] for name in _FACTS} | {
        "representation": cell.representation,
        "trainings": list(cell.trainings),
        "pretrained_on": cell.facts["pretrained_on"],
        "n_test_seen": sum(seen for seen, _ in cell.facts["saw"]),
        "n_tested": sum(tested for _, tested in cell.facts["saw"]),
        "head": cell.head,
        "primary": primary[cell.facts["kind"]] == cell.head,
        "failure": None,
    }
    headline = {"metric": first, "headline": True}
    return [
        base | {"budget": budget, "metric": metric, "headline": metric == first} | _numbers(metric, scored)
        for (budget, metric), scored in cell.scored.items()
    ] + [base | headline | {"budget": budget, "failure": why} for budget, why in cell.failures.items()]


def _numbers(metric: str, scored: Scored) -> Row:
    scores = scored.scores
    found = interval(scores, METRICS[metric].bounds)
    if not covers(METRICS[metric], scores):
        found = Interval(found.value, math.nan, math.nan, math.nan)
    seeds = scored.by_seed
    return {
        "value": found.value,
        "ci_low": found.low,
        "ci_high": found.high,
        "error": found.error,
        "aggregation": _aggregation(scored),
        "sd_folds": spread(scored.by_fold),
        "sd_repeats": spread(scores.values),
        "sd_seeds": float(np.nanmean(np.nanstd(seeds, axis=1, ddof=1))) if seeds.shape[1] > 1 else math.nan,
        "sd_trainings": spread(scores.replicates[0]) if scores.replicates else math.nan,
        "folds": scored.by_fold.tolist(),
        "repeats": scores.values.tolist(),
        "n_defined": int(np.isfinite(scores.values).sum()),
        "n_repeats": len(scores.values),
        "n_seeds": seeds.shape[1],
        "n_patients": len(scored.patient_ids),
        "smallest_group": scores.smallest,
        "n_pairs": None if scored.n_pairs is None else round(scored.n_pairs),
        "chance": METRICS[metric].chance if scored.chance is None else scored.chance,
    }


def _aggregation(scored: Scored) -> str:
    if scored.scores.design == "draws":
        return "mean of draws"
    if scored.scores.design == "held_out":
        return "held-out part"
    if scored.scores.design == "ranking":
        return "each slide against those of other patients"
    return "within folds" if scored.within_folds else "pooled over folds"


def comparison_rows(cells: Sequence[Cell], pairs: Sequence[tuple[str, str]], primary: dict[str, str]) -> list[Row]:
    """Rows of `schemas.COMPARISONS`: every pair on the same patients and splits, corrected within its family.

    A family holds the pairs of the headline metric of one head in one task, or in the tasks of one family, all training
    patients learnt from. Only there a verdict is given, and only of the primary head is it a claim.

    Args:
        cells: of all tasks.
        pairs: names of representations, the second is subtracted from the first.
        primary: the head of each kind of task that claims are made of.
    """
    known = {(*cell.place, cell.representation): cell for cell in cells}
    rows = []
    for task, head in sorted({cell.place for cell in cells}):
        for first, second in pairs:
            one, two = known.get((task, head, first)), known.get((task, head, second))
            if one and two:
                rows += compared(one, two, primary)
    families: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row["headline"] and row["budget"] == WHOLE:
            families.setdefault((row["family"], row["head"]), []).append(row)
    for family in families.values():
        correct(family)
    return rows


def correct(family: Sequence[Row]) -> None:
    """Add to the rows of a family their corrected p value, the size of the family and the verdict."""
    adjusted = holm(np.array([row["p"] for row in family]))
    counted = int(np.isfinite(adjusted).sum())
    for row, p in zip(family, adjusted, strict=True):
        row |= {"p_holm": float(p), "comparisons": counted, "verdict": verdict(row, float(p))}


def verdict(row: Row, p: float) -> str:
    """`better`, `worse`, or `not shown` of the first against the second, by the corrected p value."""
    if not math.isfinite(p) or p >= 0.05:
        return "not shown"
    return "better" if (row["difference"] > 0) == METRICS[row["metric"]].larger_is_better else "worse"


def compared(one: Cell, two: Cell, primary: dict[str, str]) -> list[Row]:
    """Rows of `schemas.COMPARISONS` of two cells of one task, uncorrected; the second is subtracted from the first.

    Raises:
        UserError: they were tested on different patients.
    """
    rows = []
    for (budget, metric), scored in one.scored.items():
        other = two.scored.get((budget, metric))
        if other is None or not covers(METRICS[metric], scored.scores):
            continue
        if scored.patient_ids != other.patient_ids:
            raise UserError(
                "task {}, head {}: ".format(*one.place)
                + f"{one.representation} and {two.representation} were tested on different patients; run fit_head again"
            )
        change, p = difference(scored.scores, other.scores, METRICS[metric].bounds)
        rows.append(
            {
                **{name: one.facts[name] for name in ("task", "kind", "family", "level")},
                "head": one.head,
                "primary": primary[one.facts["kind"]] == one.head,
                "budget": budget,
                "metric": metric,
                "headline": metric == headline_of(one.facts["kind"], one.head),
                "first": one.representation,
                "second": two.representation,
                "difference": change.value,
                "low": change.low,
                "high": change.high,
                "p": p,
                "repeats": (scored.scores.values - other.scores.values).tolist(),
                "n_patients": len(scored.patient_ids),
            }
        )
    return rows
