"""The manifest of a cohort, slides.csv. Standard library only: every cluster job parses it again."""

import csv
import hashlib
import io
import os
import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from workflow_scripts.core.cells import first_few, is_missing, parse_number
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.fetched import check_remote, is_remote
from workflow_scripts.core.files import write_text
from workflow_scripts.core.manifest_columns import Header, is_ours, read_header
from workflow_scripts.core.series import slide_exists, split_series
from workflow_scripts.core.text_tables import TextTable, read_delimited

SLIDE_ID = r"[\w-][\w.-]*"
"""What a slide_id may be, as a regular expression."""


class SlideRow(NamedTuple):
    """One row of the manifest."""

    slide_id: str
    path: str
    patient_id: str
    mpp: float | None  # um/px at level 0, overrides what the file says
    labels: dict[str, str]  # all other columns
    mpp_y: float | None = None  # um/px along y, where it is given apart; mpp is then that along x
    size_bytes: int | None = None  # of a remote slide, to check what came
    sha256: str = ""  # of a remote slide, 64 hex digits


class Manifest(NamedTuple):
    """A manifest as it was read.

    Attributes:
        path: of the file.
        rows: what it says of each slide.
        table: its cells.
        header: what its columns are.
    """

    path: Path
    rows: list[SlideRow]
    table: TextTable
    header: Header

    @property
    def patients(self) -> dict[str, str]:
        """Patient of each slide whose row gives one."""
        column = self.header.columns.get("patient_id")
        pairs = zip(self.rows, self.table.rows, strict=True) if column else ()
        return {row.slide_id: row.patient_id for row, cells in pairs if not is_missing(cells[column or ""])}

    def in_words(self) -> str:
        """One line: slides, patients, columns, missing values, and what was left out."""
        columns, more, table = self.header.columns, self.header.labels, self.table
        named = ", ".join(name if is_ours(name, own) else f"{name} (from {own})" for name, own in columns.items())
        named += f" and {len(more)} more ({first_few(more, 6)})" if more else ""
        missing = []
        for column in dict.fromkeys([*columns.values(), *more]):
            cells = Counter(record[column] for record in table.rows if is_missing(record[column]))
            texts = f" ({', '.join(filter(None, cells))})" if any(cells) else ""
            missing += [f"{column} {sum(cells.values())}{texts}"] if cells else []
        left_out = [f"rows without a cell {table.empty}"] if table.empty else []
        left_out += [f"columns without a name {table.unnamed}"] if table.unnamed else []
        told = f"{self.path}: slides {len(self.rows)}, patients {len({row.patient_id for row in self.rows})}"
        parts = {"columns": [named], "missing values": missing, "left out": left_out}
        return "; ".join([told, *(f"{name}: {', '.join(part)}" for name, part in parts.items() if part)])


def _parse_mpp(text: str, where: str, column: str = "mpp") -> float | None:
    if not text:
        return None
    try:
        mpp = parse_number(text)
    except ValueError:
        mpp = -1.0
    if not mpp > 0:
        raise UserError(
            f"{where}: {column} is {text!r}; write um/px with a decimal point, e.g. 0.25, or leave it empty"
        )
    return mpp


def _both_axes(cells: dict[str, str], where: str) -> tuple[float | None, float | None]:
    """Columns mpp, or mpp_x and mpp_y: um/px along x (or both axes) and along y (None where mpp is for both)."""
    both, x, y = (_parse_mpp(cells.get(name, ""), where, name) for name in ("mpp", "mpp_x", "mpp_y"))
    if (x is None) != (y is None) or (x is not None and both is not None):
        raise UserError(f"{where}: give either mpp, for both axes, or mpp_x and mpp_y")
    return (both, None) if x is None else (x, y)


def _parse_check(cells: dict[str, str], where: str) -> tuple[int | None, str]:
    """Columns size_bytes and sha256."""
    size, digest = cells.get("size_bytes", ""), cells.get("sha256", "").lower()
    if size and not size.isdecimal():
        raise UserError(f"{where}: size_bytes is {size!r}; write a whole number or leave it empty")
    if digest and not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise UserError(f"{where}: sha256 is {digest!r}; write its 64 hex digits or leave it empty")
    return int(size) if size else None, digest


def id_of_path(path: str) -> str:
    """A clean slide_id of a file's name: without suffix, with _ for what an id may not have; `a_2` for `a.tif#2`."""
    file, number = split_series(path)
    stem = re.sub(r"\.ome$", "", Path(file).stem, flags=re.IGNORECASE)
    stem += "" if number is None else f"_{number}"
    return re.sub(r"[^\w.-]+", "_", stem).lstrip(".") or "slide"


def _parse_row(record: dict[str, str], header: Header, where: str) -> SlideRow:
    found = header.of_row(record)
    cells = {name: "" if is_missing(cell) else cell for name, cell in found.items()}
    path = cells.get("path", found.get("slide_id", ""))
    if not path:
        raise UserError(f"{where}: path of slide {found.get('slide_id', '')} is empty; give the slide's file")
    check_remote(path, where)
    slide_id = found["slide_id"] if "slide_id" in found else id_of_path(path)
    if not re.fullmatch(SLIDE_ID, slide_id):
        raise UserError(f"{where}: slide_id is {slide_id!r}; use letters, digits, '_', '-' and '.', not '.' first")
    if is_missing(slide_id):
        raise UserError(f"{where}: slide_id is {slide_id!r}, which stands for a missing value; give the slide a name")
    mpp, mpp_y = _both_axes(cells, where)
    size_bytes, sha256 = _parse_check(cells, where)
    return SlideRow(
        slide_id=slide_id,
        path=os.path.expanduser(path) if path.startswith("~/") else path,
        patient_id=cells.get("patient_id") or slide_id,
        mpp=mpp,
        labels={name: record[name] for name in header.labels},
        mpp_y=mpp_y,
        size_bytes=size_bytes,
        sha256=sha256,
    )


def load_manifest(path: Path | str) -> Manifest:
    """Read and validate slides.csv, as people have it: `core.text_tables` and `core.manifest_columns` say how.

    Columns: slide_id and path, of which one may be missing; optionally patient_id (default: the slide_id, one patient a
    slide), mpp (um/px, overrides the file's own; or mpp_x and mpp_y), size_bytes and sha256 (of remote slides) and any
    label columns. A path may start with ~/.

    Raises:
        UserError: the file is missing or empty, a column is missing, or a row is wrong, named by its line.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"the manifest {path} does not exist; set cohort.manifest, or make one with slpd init")
    table = read_delimited(path, str(path), whole_rows=True)
    header = read_header(table.columns, str(path))
    numbered = zip(table.rows, table.lines, strict=True)
    rows = [_parse_row(record, header, f"{path} line {line}") for record, line in numbered]
    if not rows:
        raise UserError(f"{path} lists no slide; add one row a slide below the header")
    _refuse_repeats(rows, path, header)
    return Manifest(path, rows, table, header)


def read_manifest(path: Path | str) -> list[SlideRow]:
    """The rows of a manifest, see `load_manifest`.

    Raises:
        UserError: it cannot be used.
    """
    return load_manifest(path).rows


def path_key(path: str) -> str:
    """What all spellings of a path have in common: `./x//a.svs` and `x/y/../a.svs`, or `HTTPS://Host/a%20b`."""
    if not is_remote(path):
        return os.path.abspath(path)
    scheme, _, rest = path.partition("://")
    host, _, key = rest.partition("/")
    return f"{scheme.lower()}://{host.lower()}/{key if scheme.lower() == 's3' else unquote(key)}"


def _refuse_repeats(rows: list[SlideRow], path: Path, header: Header) -> None:
    first: dict[str, SlideRow] = {}
    for row in rows:
        other = first.setdefault(path_key(row.path), row)
        if other is not row:
            spelt = "" if other.path == row.path else f", also written {row.path},"
            raise UserError(
                f"{path}: the file {other.path}{spelt} stands in more than one row (slides {other.slide_id} and "
                f"{row.slide_id}); keep one, or it is in training and test alike"
            )
    for slide_id, count in Counter(row.slide_id for row in rows).items():
        if count > 1:
            mend = "" if "slide_id" in header.columns else " in a column slide_id"
            raise UserError(f"{path}: slide_id {slide_id} stands {count} times; give every slide its own{mend}")


def write_manifest(path: Path, slides: list[str], mpp: float | None, patient: str = "") -> list[SlideRow]:
    """Write a manifest of slide files, each named by its file; its rows.

    Args:
        path: the CSV file.
        slides: files on this machine.
        mpp: um/px of all of them; None for what they say themselves.
        patient: id of the patient of all of them, where it is known.

    Raises:
        UserError: a file is missing, or two have one name.
    """
    missing = [slide for slide in slides if not slide_exists(slide)]
    if missing:
        raise UserError(f"{missing[0]} does not exist; give files of slides on this machine")
    text = io.StringIO()
    rows = [(id_of_path(slide), slide, mpp, patient) for slide in slides]
    csv.writer(text).writerows([("slide_id", "path", "mpp", "patient_id"), *rows])
    write_text(path, text.getvalue())
    return read_manifest(path)


def shard_of(slide_id: str, shards: int) -> int:
    """Shard 0..shards-1 of a slide, by a stable hash: adding a slide moves no other."""
    return int.from_bytes(hashlib.sha256(slide_id.encode()).digest()[:4], "big") % shards
