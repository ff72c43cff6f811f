"""Splits that are given and not dealt: a file, a column of the manifest, HIPT's folder, a site or a cohort held out.

All become a list of `GivenSplit`, by slides of the manifest. Standard library only: they are checked before anything
runs. Who leaks in them, and what is done about it, is in `core/leaks.py`.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple, Protocol

from workflow_scripts.core.cells import SlideNames, first_few, is_missing
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.hipt_splits import read_hipt
from workflow_scripts.core.label_cells import require_distinct_names
from workflow_scripts.core.label_checks import require_columns
from workflow_scripts.core.label_table import SLIDE_COLUMN, id_column
from workflow_scripts.core.manifest import SlideRow
from workflow_scripts.core.text_tables import TextTable, read_text_table

_WORDS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "tune"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_FOLD_COLUMN = re.compile(r"fold_?(\d+)", re.IGNORECASE)


class SplitSource(Protocol):
    """What of section `splits` of a task says where its splits come from."""

    @property
    def kind(self) -> str: ...
    @property
    def column(self) -> str | None: ...
    @property
    def value(self) -> str | None: ...
    @property
    def test_manifest(self) -> bool: ...
    @property
    def file(self) -> str | None: ...
    @property
    def folder(self) -> str | None: ...


class GivenSplit(NamedTuple):
    """One split: `name` as its source calls it, and the part (train, val, test) of each slide that is in one."""

    repeat: int
    fold: int
    name: str
    parts: dict[str, str]


class GivenSplits(NamedTuple):
    """All splits of a source.

    Attributes:
        splits: in order of repeat and fold.
        unknown: ids that the source lists and the manifest does not.
        design: `folds` where the tests of a repeat do not overlap and cover all that is tested; `draws` where every
            split is a draw of its own, so that nothing may be pooled over them; `held_out` where there is one split.
    """

    splits: list[GivenSplit]
    unknown: list[str]
    design: str

    def slides(self) -> set[str]:
        """Slides that stand in some part of some split."""
        return {slide for split in self.splits for slide in split.parts}


def read_given(
    rows: list[SlideRow], source: SplitSource, manifest: str, tests: Collection[str] = ()
) -> GivenSplits | None:
    """The given splits of a task; None where its splits are dealt.

    Args:
        rows: the manifest's rows; with those of the test cohort where the splits test that.
        source: section `splits` of the task.
        manifest: the manifest's path, for messages.
        tests: slide ids of the test cohort.

    Raises:
        UserError: the source cannot be read, names no slide of the manifest, puts a slide in two parts of one split,
            or leaves a split without training or test slides.
    """
    if source.kind == "folds":
        return None
    if source.test_manifest:
        parts = {row.slide_id: "test" if row.slide_id in tests else "train" for row in rows}
        return GivenSplits([GivenSplit(0, 0, "test_manifest", parts)], [], "held_out")
    readers: dict[str, Callable[[], GivenSplits]] = {
        "leave_one_out": lambda: _leave_one_out(rows, source.column or "", manifest),
        "column": lambda: _by_column(rows, source.column or "part", manifest),
        "external": lambda: _external(rows, source.column or "", source.value or "", manifest),
        "file": lambda: _from_file(rows, source.file or ""),
        "hipt": lambda: _from_hipt(rows, source.folder or ""),
    }
    given = readers[source.kind]()
    for split in given.splits:
        counts = Counter(split.parts.values())
        empty = [part for part in ("train", "test") if not counts[part]]
        if empty:
            where = source.file or source.folder or manifest
            raise UserError(
                f"splits: split {split.name} of {where} has no slide of the manifest in {' and in '.join(empty)}; "
                "correct it, or drop that split"
            )
    return given


def _cells(rows: list[SlideRow], column: str, manifest: str) -> dict[str, str]:
    """The column's cells by slide, without the missing ones."""
    require_columns(list(rows[0].labels) if rows else [], [column], manifest, "section splits")
    cells = {row.slide_id: row.labels[column] for row in rows if not is_missing(row.labels[column])}
    if not cells:
        raise UserError(f"splits.column: column {column} of {manifest} is empty for all slides; fill it in")
    return cells


def _part(word: str, where: str) -> str:
    part = _WORDS.get(word.lower())
    if part is None:
        raise UserError(f"{where} is {word!r}; write train, val or test, or leave it empty")
    return part


def _by_column(rows: list[SlideRow], column: str, manifest: str) -> GivenSplits:
    cells = _cells(rows, column, manifest)
    parts = {slide: _part(word, f"{manifest}: column {column} of slide {slide}") for slide, word in cells.items()}
    return GivenSplits([GivenSplit(0, 0, column, parts)], [], "held_out")


def _leave_one_out(rows: list[SlideRow], column: str, manifest: str) -> GivenSplits:
    site_of = _cells(rows, column, manifest)
    require_distinct_names(set(site_of.values()), f"column {column}", manifest)
    sites = sorted(set(site_of.values()))
    if len(sites) < 2:
        raise UserError(
            f"splits.column: column {column} of {manifest} names one site only, {sites[0]!r}; none can be left out"
        )
    splits = [
        GivenSplit(0, fold, site, {slide: "test" if of == site else "train" for slide, of in site_of.items()})
        for fold, site in enumerate(sites)
    ]
    return GivenSplits(splits, [], "folds")


def _external(rows: list[SlideRow], column: str, value: str, manifest: str) -> GivenSplits:
    cells = _cells(rows, column, manifest)
    require_distinct_names({*cells.values(), value}, f"splits.value or column {column}", manifest)
    if value not in cells.values():
        known = first_few((repr(cell) for cell in sorted(set(cells.values()))), 6)
        raise UserError(f"splits.value: no slide of {manifest} has {value!r} in column {column}, only {known}")
    parts = {slide: "test" if cell == value else "train" for slide, cell in cells.items()}
    return GivenSplits([GivenSplit(0, 0, value, parts)], [], "held_out")


class _Builder:
    """Splits of a source in the making, slide by slide."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._parts: dict[tuple[int, int], dict[str, str]] = {}

    def add(self, repeat: int, fold: int, slides: Iterable[str], part: str) -> None:
        """Put slides into a part of a split.

        Raises:
            UserError: one of them is in another part of it.
        """
        parts = self._parts.setdefault((repeat, fold), {})
        for slide in slides:
            if parts.setdefault(slide, part) != part:
                raise UserError(
                    f"{self._source}: slide {slide} is in {parts[slide]} and {part} of repeat {repeat}, fold {fold}; "
                    "keep one of the two"
                )

    def given(self, unknown: list[str], patient_of: dict[str, str]) -> GivenSplits:
        """The splits; where the tests of one repeat share a patient, they are draws, each a repeat of its own."""
        splits = [GivenSplit(*key, f"{key[0]}/{key[1]}", self._parts[key]) for key in sorted(self._parts)]
        if len(splits) == 1:
            return GivenSplits(splits, unknown, "held_out")
        tested: Counter[tuple[int, str]] = Counter()
        for split in splits:
            tested.update({(split.repeat, patient_of[s]) for s, part in split.parts.items() if part == "test"})
        alone = len({split.repeat for split in splits}) == len(splits)
        if alone or max(tested.values(), default=0) > 1:
            draws = [split._replace(repeat=number, fold=0) for number, split in enumerate(splits)]
            return GivenSplits(draws, unknown, "draws")
        return GivenSplits(splits, unknown, "folds")


def _number(record: dict[str, str], column: str, where: str) -> int:
    cell = record.get(column, "0")
    if not re.fullmatch(r"\d+(\.0)?", cell):
        raise UserError(f"{where} has {cell!r} in column {column}; write a whole number from 0")
    return int(float(cell))


def _words(record: dict[str, str], table: TextTable, where: str) -> list[tuple[int, int, str]]:
    """Repeat, fold and part of one row: in columns of these names, or in one column a fold as Patho-Bench has it."""
    wide = [(int(found[1]), name) for name in table.columns if (found := _FOLD_COLUMN.fullmatch(name))]
    cells = [(0, fold, record[name]) for fold, name in wide]
    if "part" in table.columns:
        cells = [(_number(record, "repeat", where), _number(record, "fold", where), record["part"])]
    return [(repeat, fold, _part(word, f"{where}: part")) for repeat, fold, word in cells if not is_missing(word)]


def _from_file(rows: list[SlideRow], path: str) -> GivenSplits:
    table = read_text_table(path, "splits.file")
    by = id_column(table, path, "splits.file")
    if "part" not in table.columns and not any(_FOLD_COLUMN.fullmatch(name) for name in table.columns):
        raise UserError(
            f"splits.file: {path} has neither a column part nor columns fold_0, fold_1, ..., only "
            f"{first_few(table.columns, 6)}; name its columns so"
        )
    slides_of: dict[str, list[str]] = {}
    for row in rows:
        slides_of.setdefault(row.slide_id if by == SLIDE_COLUMN else row.patient_id, []).append(row.slide_id)
    names, unknown = SlideNames(slides_of), dict[str, None]()
    builder = _Builder(f"splits.file: {path}")
    for number, record in zip(table.lines, table.rows, strict=True):
        name = names.find(record[by])
        if name is None:
            unknown[record[by]] = None
            continue
        for repeat, fold, part in _words(record, table, f"splits.file: {path} line {number}"):
            builder.add(repeat, fold, slides_of[name], part)
    given = builder.given(list(unknown), {row.slide_id: row.patient_id for row in rows})
    _require_some(given, path, "splits.file", rows)
    return given


def _from_hipt(rows: list[SlideRow], folder: str) -> GivenSplits:
    """Ten draws and not ten folds: the published tests overlap, and a third of the slides is never tested."""
    names, unknown, splits = SlideNames(row.slide_id for row in rows), dict[str, None](), []
    for number, (file, part_of) in enumerate(read_hipt(folder).draws.items()):
        parts = {}
        for published, part in part_of.items():
            slide = names.find(published)
            if slide is None:
                unknown[published] = None
            else:
                parts[slide] = part
        splits.append(GivenSplit(number, 0, f"splits_{file}", parts))
    given = GivenSplits(splits, list(unknown), "draws")
    _require_some(given, folder, "splits.folder", rows)
    return given


def _require_some(given: GivenSplits, path: str, key: str, rows: list[SlideRow]) -> None:
    if not given.slides():
        listed = f"its first are {first_few(given.unknown)}" if given.unknown else "or it puts none in a part"
        raise UserError(
            f"{key}: {path} names no slide or patient of the manifest, {listed}, the manifest's first slides "
            f"{first_few(row.slide_id for row in rows)}; check the ids"
        )
