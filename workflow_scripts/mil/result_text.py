"""Results as lines of text, for the log and the terminal."""

from typing import Any

from workflow_scripts.core.tasks import METRICS
from workflow_scripts.core.trainings import of_pair, of_value

Row = dict[str, Any]


def result_text(rows: list[Row], pairs: list[Row]) -> str:
    """The headline of every cell with its interval, then every comparison in which a difference is shown.

    Args:
        rows: rows of `schemas.RESULTS`.
        pairs: rows of `schemas.COMPARISONS`.
    """
    trained = {row["representation"]: len(row["trainings"]) for row in rows}
    cells = [("task", "head", "representation", "budget", "metric", "value [95 % interval]")]
    for row in rows:
        if row["headline"]:
            value = f"failed: {row['failure']}" if row["failure"] else _value(row)
            value = "  ".join(filter(None, [value, of_value(trained[row["representation"]])]))
            cells.append((*(row[key] for key in ("task", "head", "representation", "budget", "metric")), value))
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = ["  ".join(text.ljust(w) for text, w in zip(row, widths, strict=True)).rstrip() for row in cells]
    return "\n".join([*lines, *(told for row in pairs if (told := _told(row, trained)))])


def _value(row: Row) -> str:
    return f"{row['value']:.3f} [{row['ci_low']:.3f}, {row['ci_high']:.3f}]"


def _told(row: Row, trained: dict[str, int]) -> str:
    """A comparison in words, of so many trainings; empty where no difference is shown, or no claim made of the head."""
    if not row["primary"] or row.get("verdict") not in ("better", "worse"):
        return ""
    metric = METRICS[row["metric"]].label
    first, second = row["first"], row["second"]
    of = of_pair(first, second, (trained.get(first, 0), trained.get(second, 0)))
    than = f"{second} ({of})" if of else second
    return (
        f"{row['task']}, {row['head']}: {first} is {row['verdict']} than {than} in {metric} by "
        f"{abs(row['difference']):.3f} [{row['low']:+.3f}, {row['high']:+.3f}], p {row['p_holm']:.3g} corrected for "
        f"{row['comparisons']} comparisons"
    )
