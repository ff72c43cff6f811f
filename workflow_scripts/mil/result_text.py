"""Results as lines of text, for the log and the terminal."""

from typing import Any

from workflow_scripts.core.tasks import METRICS

Row = dict[str, Any]


def result_text(rows: list[Row], pairs: list[Row]) -> str:
    """The headline of every cell with its interval, then every comparison in which a difference is shown.

    Args:
        rows: rows of `schemas.RESULTS`.
        pairs: rows of `schemas.COMPARISONS`.
    """
    cells = [("task", "head", "representation", "budget", "metric", "value [95 % interval]")]
    for row in rows:
        if row["headline"]:
            value = f"failed: {row['failure']}" if row["failure"] else _value(row)
            cells.append((*(row[key] for key in ("task", "head", "representation", "budget", "metric")), value))
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = ["  ".join(text.ljust(w) for text, w in zip(row, widths, strict=True)).rstrip() for row in cells]
    return "\n".join([*lines, *(told for row in pairs if (told := _told(row)))])


def _value(row: Row) -> str:
    return f"{row['value']:.3f} [{row['ci_low']:.3f}, {row['ci_high']:.3f}]"


def _told(row: Row) -> str:
    """A comparison in words; empty where no difference is shown, or where no claim is made of the head."""
    if not row["primary"] or row.get("verdict") not in ("better", "worse"):
        return ""
    metric = METRICS[row["metric"]].label
    return (
        f"{row['task']}, {row['head']}: {row['first']} is {row['verdict']} than {row['second']} in {metric} by "
        f"{abs(row['difference']):.3f} [{row['low']:+.3f}, {row['high']:+.3f}], p {row['p_holm']:.3g} corrected for "
        f"{row['comparisons']} comparisons"
    )
