"""What the prototypes follow, in the tab Prototypes: a line a clustering, controls below the run's own."""

from workflow_scripts.report.inputs import Row
from workflow_scripts.report.wording import known, number

_OWN = "prototypes"
_TRUTH = "true classes"


def _share(found: Row | None) -> str:
    """A share, and in brackets that by chance."""
    if not found or not known(found["share"]):
        return number(None)
    return f"{number(found['share'], 2)} ({number(found['chance'], 2)})"


def _name(clustering: str) -> str:
    return clustering if clustering in (_OWN, _TRUTH) else f"k-means of {clustering}"


def explained_section(rows: list[Row], runs: list[str]) -> Row | None:
    """What the template is told of rows of `schemas.EXPLAINED` in the order of the runs; null where there are none."""
    rows = [row for run in runs for row in rows if row["run"] == run]
    if not rows:
        return None
    lines = [
        {**row, "name": _name(row["clustering"]), "shares": [_share(row[key]) for key in ("tissue", "colour", "rim")]}
        for row in rows
    ]
    most = {key: max(row[key] or 0 for row in rows) for key in ("truth_slides", "truth_tissue_slides")}
    return {"rows": lines, "truth": any(known(row["truth"]) for row in rows), **most}
