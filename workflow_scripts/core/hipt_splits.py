"""Splits in the layout that HIPT has published: folders with splits_{k}.csv, their table of truth and their counts.

In `splits_{k}.csv` the columns train, val and test list slide ids (without the suffix of a file) of unequal number;
`splits_{k}_bool.csv` says the same as slide x part, `splits_{k}_descriptor.csv` counts classes x part. Within a column
the slides stand in runs of classes in the descriptor's order, so columns and counts together tell the class of a slide.
"""

import re
from pathlib import Path
from typing import NamedTuple

from workflow_scripts.core.cells import bare_id
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.text_tables import read_text_table

PARTS = ("train", "val", "test")
_KEY = "splits.folder"
_FILE = re.compile(r"splits_(\d+)\.csv")


class HiptSplits(NamedTuple):
    """Published splits.

    Attributes:
        draws: by number, the part of each slide id (without the suffix of a file).
        classes: class of each slide id; empty where there are no descriptors.
    """

    draws: dict[int, dict[str, str]]
    classes: dict[str, str]


def hipt_files(folder: str) -> list[str]:
    """All files of the published splits in a folder, sorted."""
    return sorted(str(path) for path in Path(folder).glob("splits_*.csv"))


def read_hipt(folder: str) -> HiptSplits:
    """Read and check all draws in a folder.

    Raises:
        UserError: there is none, a slide stands in two parts, or a file contradicts another.
    """
    paths = {int(found[1]): path for path in Path(folder).glob("*.csv") if (found := _FILE.fullmatch(path.name))}
    if not paths:
        raise UserError(f"{_KEY}: {folder} holds no splits_0.csv; name the folder of one cohort's published splits")
    draws: dict[int, dict[str, str]] = {}
    classes: dict[str, str] = {}
    for number, path in sorted(paths.items()):
        columns = _columns(path)
        draws[number] = _parts(columns, path)
        _require_same_as_bool(draws[number], path.with_name(f"splits_{number}_bool.csv"))
        for name, group in _runs(columns, path.with_name(f"splits_{number}_descriptor.csv")).items():
            if classes.setdefault(name, group) != group:
                raise UserError(f"{_KEY}: slide {name} is {classes[name]} in one split and {group} in {path.name}")
    return HiptSplits(draws, classes)


def _columns(path: Path) -> dict[str, list[str]]:
    table = read_text_table(path, _KEY)
    missing = [part for part in PARTS if part not in table.columns]
    if missing:
        raise UserError(f"{_KEY}: {path} has no column {' and '.join(missing)}; it must list train, val and test")
    return {part: [bare_id(row[part]) for row in table.rows if row[part]] for part in PARTS}


def _parts(columns: dict[str, list[str]], path: Path) -> dict[str, str]:
    part_of: dict[str, str] = {}
    for part, names in columns.items():
        for name in names:
            if name in part_of:
                raise UserError(f"{_KEY}: slide {name} stands in {part_of[name]} and {part} of {path}; keep one")
            part_of[name] = part
    return part_of


def _require_same_as_bool(part_of: dict[str, str], path: Path) -> None:
    if not path.is_file():
        return
    told: dict[str, str] = {}
    for row in read_text_table(path, _KEY).rows:
        name, *_ = row.values()
        told |= {bare_id(name): part for part in PARTS if row.get(part, "").lower() == "true"}
    wrong = sorted(name for name in told.keys() | part_of.keys() if told.get(name) != part_of.get(name))
    if wrong:
        raise UserError(
            f"{_KEY}: {path} puts slide {wrong[0]} in {told.get(wrong[0], 'no part')}, the list beside it in "
            f"{part_of.get(wrong[0], 'no part')}; get both files again, or delete the one that is wrong"
        )


def _runs(columns: dict[str, list[str]], path: Path) -> dict[str, str]:
    """Class of each slide, by cutting each column at the descriptor's counts; empty without a descriptor."""
    if not path.is_file():
        return {}
    rows = [list(row.items()) for row in read_text_table(path, _KEY).rows]
    counts = {cells[0][1]: dict(cells[1:]) for cells in rows}
    class_of: dict[str, str] = {}
    for part, names in columns.items():
        runs = [group for group, row in counts.items() for _ in range(_count(row.get(part, ""), path))]
        if len(runs) != len(names):
            raise UserError(
                f"{_KEY}: {path} counts {len(runs)} slides in {part}, the list beside it {len(names)}; get both again"
            )
        class_of |= dict(zip(names, runs, strict=True))
    return class_of


def _count(cell: str, path: Path) -> int:
    try:
        return int(float(cell))
    except ValueError:
        raise UserError(f"{_KEY}: {path} holds {cell!r} where a count should be; get the file again") from None
