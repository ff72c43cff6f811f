"""A cohort of five slides, and the sentence with which a configuration is refused for it."""

import pytest

from workflow_scripts.config import load_config, merge
from workflow_scripts.config.refusals import refuse
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.manifest import SlideRow

SUBTYPE = {"kind": "classification", "label": "subtype"}
SURVIVAL = {"kind": "survival", "time": "days", "event": "dead"}
GOOD = {
    "features": {"model": "efficientnet_lite0"},
    "benchmark": {"tasks": {"subtype": SUBTYPE, "os": SURVIVAL}, "folds": 2},
}


def cohort(**columns: str) -> list[SlideRow]:
    """Five slides of five patients; a column's letters or numbers are its cells."""
    cells = {"patient": "12345", "subtype": "xyxyx", "days": "56789", "dead": "11010"} | columns
    rows = [dict(zip(cells, values, strict=True)) for values in zip(*cells.values(), strict=True)]
    return [
        SlideRow(name, f"{name}.svs", f"p{row.pop('patient')}", None, row)
        for name, row in zip("abcde", rows, strict=True)
    ]


def refusal(raw: dict, rows: list[SlideRow]) -> str:
    with pytest.raises(UserError) as error:
        refuse(load_config(merge(GOOD, raw)), rows)
    assert "\n" not in str(error.value)
    return str(error.value)


def with_files(folder):
    """The folder with the files of the five slides."""
    for name in "abcde":
        (folder / f"{name}.svs").touch()
    return folder
