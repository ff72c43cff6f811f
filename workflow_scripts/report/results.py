"""The benchmark's table and the sentences that sum it up."""

import math
from typing import Any

from workflow_scripts.config import Task
from workflow_scripts.core.tasks import KINDS, METRICS, Metric

Row = dict[str, Any]
_MINUS = "−"


def metric_facts(metric: str) -> Metric:
    """What is known of a metric; of one that is not, its name without underscores."""
    return METRICS.get(metric) or Metric(metric.replace("_", " "))


def metric_name(metric: str) -> str:
    """Name of a metric as it is printed."""
    return metric_facts(metric).label


def known(value: float | None) -> bool:
    """Whether a number is there: neither null nor NaN nor infinite."""
    return value is not None and math.isfinite(value)


def number(value: float | None, digits: int = 3, sign: bool = False) -> str:
    """A number with a true minus sign; an en dash where there is none."""
    if not known(value):
        return "–"
    text = f"{value:{'+' if sign else ''}.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("+-")
    return text.replace("-", _MINUS)


def interval(low: float | None, high: float | None, sign: bool = False) -> str:
    """A 95 % interval in brackets; empty where there is none."""
    return f"[{number(low, sign=sign)}, {number(high, sign=sign)}]" if known(low) and known(high) else ""


def verdict(row: Row) -> str:
    """`better`, `worse` or `none` (the interval contains 0) against the baseline; `` without an interval."""
    low, high = row["difference_low"], row["difference_high"]
    if row["representation"] == row["baseline"] or not (known(low) and known(high)):
        return ""
    if low <= 0 <= high:
        return "none"
    return "better" if (low > 0) == metric_facts(row["metric"]).larger_is_better else "worse"


def _order(values: list[str], first: list[str]) -> list[str]:
    found = list(dict.fromkeys(values))
    return [v for v in first if v in found] + [v for v in found if v not in first]


def _best(cells: list[Row]) -> str | None:
    """Representation to mark: that of the best pooled value, if it is shown to be better than the baseline."""
    scored = [c for c in cells if known(c["pooled"])]
    if not scored:
        return None
    best = max if metric_facts(scored[0]["metric"]).larger_is_better else min
    top = best(scored, key=lambda c: c["pooled"])
    return top["representation"] if verdict(top) == "better" else None


def result_tables(rows: list[Row], tasks: dict[str, Task], representations: list[str]) -> list[Row]:
    """One table a task: `name`, `kind`, `representations` (with pretrained_on) and `lines` by head and metric.

    Each line has `cells` in the order of the representations (null where none was written) and `best`.
    """
    tables = []
    for task in _order([r["task"] for r in rows], list(tasks)):
        mine = [r for r in rows if r["task"] == task]
        columns = _order([r["representation"] for r in mine], representations)
        lines = []
        for head in dict.fromkeys(r["head"] for r in mine):
            for metric in dict.fromkeys(r["metric"] for r in mine if r["head"] == head):
                found = {r["representation"]: r for r in mine if (r["head"], r["metric"]) == (head, metric)}
                sizes = {(r["n_patients"], r["n_excluded"]) for r in found.values()}
                lines.append(
                    {
                        "head": head,
                        "metric": metric,
                        "cells": [found.get(name) for name in columns],
                        "best": _best(list(found.values())),
                        "sizes": sorted(sizes, key=str),
                    }
                )
        trained = {r["representation"]: r["pretrained_on"] or "not stated" for r in reversed(mine)}
        tables.append(
            {
                "name": task,
                "kind": mine[0]["kind"],
                "baseline": next((r["baseline"] for r in mine if r["baseline"]), None),
                "representations": [(name, trained[name]) for name in columns],
                "lines": lines,
            }
        )
    return tables


def headline_lines(table: Row) -> list[Row]:
    """The lines of the headline's metric, one a head; all metrics' first where the task lacks that metric."""
    lines = [line for line in table["lines"] if line["metric"] == KINDS[table["kind"]].headline]
    return lines or list({line["head"]: line for line in reversed(table["lines"])}.values())[::-1]


def smaller_is_better(rows: list[Row]) -> list[str]:
    """Names, as they are printed, of the metrics of which a smaller value is the better one."""
    metrics = dict.fromkeys(row["metric"] for row in rows)
    return [metric_name(name) for name in metrics if not metric_facts(name).larger_is_better]


def sentences(table: Row, runs: list[str]) -> list[Row]:
    """What a task shows, a sentence for each head and pretrained representation, the same metric throughout."""
    told = []
    for line in headline_lines(table):
        cells = {c["representation"]: c for c in line["cells"] if c}
        for name in [n for n, _ in table["representations"] if n in runs]:
            cell = cells.get(name)
            if cell is None:
                continue
            base = cells.get(cell["baseline"])
            others = [c for n, c in cells.items() if n != name and c is not base]
            told.append(
                {
                    "head": line["head"],
                    "metric": metric_name(line["metric"]),
                    "name": name,
                    "cell": cell,
                    "base": base if base is not cell else None,
                    "others": others,
                    "verdict": verdict(cell),
                }
            )
    return told
