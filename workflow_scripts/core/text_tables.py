"""Tables that users and other projects bring, read as text: CSV, TSV, either of them zipped, and Parquet.

Standard library only, but for Parquet: the manifest is read by every cluster job.
"""

import csv
import io
import itertools
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from workflow_scripts.core.errors import UserError

TABLE_SUFFIXES = (".csv", ".tsv", ".txt", ".csv.zip", ".tsv.zip", ".txt.zip", ".parquet", ".pq")
_SEPARATORS = ",;\t"
_LONGEST_CELL = 1 << 24  # characters; a quote that is never closed makes one cell of all that follows
_LARGEST = 1 << 32  # bytes; no table of slides has so many, and it is held in memory
_NO_NAME = re.compile(r"(Unnamed: \d+)?")  # the second is what pandas makes of the first
_WORKBOOK = "is a workbook of a spreadsheet; save its sheet as CSV (UTF-8)"


class TextTable(NamedTuple):
    """A table whose cells are text without white space around it.

    Attributes:
        columns: names in order; those without a name are left out.
        rows: a dict a row; a cell that is not there is empty. Rows without any text are left out. The first column is
            there even without a name: it may be the index of a data frame.
        lines: line of the file that each row ends in, the header's being the first.
        unnamed: how many columns without a name were left out.
        empty: how many rows of empty cells were left out.
    """

    columns: list[str]
    rows: list[dict[str, str]]
    lines: list[int]
    unnamed: int = 0
    empty: int = 0


def read_text_table(path: Path | str, key: str) -> TextTable:
    """Read a table as text. A zip's only file is read in memory, whatever it is called, and never extracted.

    Args:
        path: .csv, .tsv, .txt, either with .zip after it, or .parquet. See `read_delimited`.
        key: of the configuration, for messages.

    Raises:
        UserError: the file is not there, cannot be read, or has no rows or no header.
    """
    path = Path(path)
    where = f"{key}: {path}"
    if not path.is_file():
        raise UserError(f"{key}: the file {path} does not exist; put it there, or correct the path")
    table = _parquet(path, where) if path.suffix.lower() in (".parquet", ".pq") else read_delimited(path, where)
    if not table.rows:
        raise UserError(f"{where} has no row below its header; fill it, or name another file")
    return table


def read_delimited(path: Path, where: str, whole_rows: bool = False) -> TextTable:
    """Read text that is separated by commas, semicolons or tabs, whichever part its header into most names.

    Args:
        path: UTF-8, with or without a mark at its start, or UTF-16 with one, as Excel writes Unicode text.
        where: the file in messages.
        whole_rows: whether a row may not have fewer cells than the header.

    Raises:
        UserError: it is no such text, its quotes do not match, two columns have one name, or a row has more cells than
            the header.
    """
    text, separator, start = open_delimited(path, where)
    records = (record for record in _records(text, separator, where) if record[1])
    if start:
        next(records)
    names = [name.strip() for _, header in itertools.islice(records, 1) for name in header]
    twice = [name for name, count in Counter(names).items() if count > 1 and not _NO_NAME.fullmatch(name)]
    if twice:
        raise UserError(f"{where} has two columns {twice[0]!r}; rename or remove one")
    return _table(names, records, where, whole_rows)


def open_delimited(path: Path, where: str) -> tuple[str, str, int]:
    """Text of a table, its separator, and the place of its header, which Excel's hint of the separator may precede.

    Raises:
        UserError: it cannot be read, is no text, or is larger than 4 GiB.
    """
    try:
        packed = zipfile.is_zipfile(path)
        if not packed and path.stat().st_size > _LARGEST:
            raise _too_large(where)
        content = b"" if packed else path.read_bytes()
    except OSError as error:
        raise UserError(f"{where} cannot be read ({error.strerror}); see to its path and permissions") from error
    text = _decoded(_unzipped(path, where) if packed else content, where)
    hint = re.match(r"sep=(.)(\r\n?|\n)", text)
    if hint:
        return text, hint[1], hint.end()
    return text, max(_SEPARATORS, key=lambda sign: len(_header(text, sign))), 0


def _too_large(where: str) -> UserError:
    return UserError(f"{where} is larger than {_LARGEST >> 30} GiB, which no table of slides is; name another file")


def _table(names: list[str], records: Iterator[tuple[int, list[str]]], where: str, whole_rows: bool) -> TextTable:
    named = [(place, name) for place, name in enumerate(names) if place == 0 or not _NO_NAME.fullmatch(name)]
    rows, lines, empty = [], [], 0
    for line, record in records:
        cells = [cell.strip() for cell in record]
        if not any(cells):
            empty += bool(cells)
            continue
        while len(cells) > len(names) and not cells[-1]:
            cells.pop()
        if len(cells) > len(names) or (whole_rows and len(cells) < len(names)):
            raise UserError(
                f"{where} line {line} has {len(cells)} cells, the header {len(names)}; check its separators and quotes"
            )
        cells += [""] * (len(names) - len(cells))
        rows.append({name: cells[place] for place, name in named})
        lines.append(line)
    columns = [name for name in names if not _NO_NAME.fullmatch(name)]
    return TextTable(columns, rows, lines, len(names) - len(columns), empty)


def _header(text: str, separator: str) -> list[str]:
    """Cells of the first line with any, whether or not this is the separator that its quotes were written for."""
    try:
        return next(filter(None, csv.reader(io.StringIO(text, newline=""), delimiter=separator)), [])
    except csv.Error:
        return []


def _records(text: str, separator: str, where: str) -> Iterator[tuple[int, list[str]]]:
    """Number of the last line, and cells, of each record."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True, skipinitialspace=True)
    limit = csv.field_size_limit(_LONGEST_CELL)
    try:
        for record in reader:
            yield reader.line_num, record
    except csv.Error as error:
        raise UserError(
            f"{where} line {reader.line_num} cannot be read ({error}); check its quotes, each cell has two or none"
        ) from None
    finally:
        csv.field_size_limit(limit)


def _decoded(content: bytes, where: str) -> str:
    if content.startswith((b"\xd0\xcf\x11\xe0", b"PK\x03\x04")):  # .xls, and .xlsx that is cut off
        raise UserError(f"{where} {_WORKBOOK}")
    if content.startswith(b"\x1f\x8b"):
        raise UserError(f"{where} is packed by gzip; unpack it, or zip the table")
    wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        text = content.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{where} is not UTF-8 text; save it as CSV (UTF-8)") from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise UserError(f"{where} line {line} holds a NUL byte, which no text has; save it again as CSV (UTF-8)")
    return text


def _unzipped(path: Path, where: str) -> bytes:
    """The only file of a zip, of which no more is read than the zip says it has."""
    try:
        with zipfile.ZipFile(path) as archive:
            if {"xl/workbook.xml", "content.xml"} & set(archive.namelist()):
                raise UserError(f"{where} {_WORKBOOK}")
            members = [member for member in archive.infolist() if not member.is_dir()]
            if len(members) != 1:
                raise UserError(f"{where} holds {len(members)} files; zip the one table alone")
            if members[0].file_size > _LARGEST:
                raise _too_large(where)
            return archive.read(members[0])
    except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError, OSError) as error:
        # RuntimeError is a password
        raise UserError(f"{where} cannot be unpacked ({error}); zip the table again, without a password") from None


def _parquet(path: Path, where: str) -> TextTable:
    """Numbers become their shortest text (1.0 is 1, for a column of numbers has no text), nulls become empty."""
    import pyarrow as pa  # only here: a start of Snakemake should not pay for it
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            table = file.read()
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{where} is not a readable Parquet file ({error}); write it again") from None
    rows = [{name: _cell(value) for name, value in row.items()} for row in table.to_pylist()]
    return TextTable(table.column_names, rows, list(range(2, len(rows) + 2)))


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    return f"{value:.15g}" if isinstance(value, float) else str(value).strip()
