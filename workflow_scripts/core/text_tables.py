"""Tables that users and other projects bring, read as text: CSV, TSV, either of them zipped, and Parquet."""

import csv
import io
import zipfile
from pathlib import Path
from typing import NamedTuple

from workflow_scripts.core.errors import UserError


class TextTable(NamedTuple):
    """A table whose cells are text without white space around it.

    Attributes:
        columns: names in order.
        rows: a dict a row; a cell that is not there is empty.
    """

    columns: list[str]
    rows: list[dict[str, str]]


def read_text_table(path: Path | str, key: str) -> TextTable:
    """Read a table as text. A zip's only file is read in memory, whatever it is called, and never extracted.

    Args:
        path: .csv, .tsv, .txt, either with .zip after it, or .parquet. Text is separated by tabs where its first line
            has one, else by commas.
        key: of the configuration, for messages.

    Raises:
        UserError: the file is not there, cannot be read, or has no rows or no header.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{key}: the file {path} does not exist; put it there, or correct the path")
    table = _parquet(path, key) if path.suffix.lower() in (".parquet", ".pq") else _delimited(path, key)
    if not table.rows:
        raise UserError(f"{key}: {path} has no row below its header; fill it, or name another file")
    return table


def _delimited(path: Path, key: str) -> TextTable:
    try:
        text = _unzipped(path, key) if zipfile.is_zipfile(path) else path.read_bytes()
        lines = io.StringIO(text.decode("utf-8-sig"), newline="")
    except UnicodeDecodeError:
        raise UserError(f"{key}: {path} is not UTF-8 text; save it as CSV (UTF-8)") from None
    first = lines.readline()
    lines.seek(0)
    reader = csv.DictReader(lines, delimiter="\t" if "\t" in first else ",", restval="")
    columns = [name.strip() for name in reader.fieldnames or []]
    if len(columns) < 2 and ";" in first:
        raise UserError(f"{key}: {path} is separated by semicolons; save it with commas or tabs")
    rows = []
    for record in reader:
        if None in record:
            raise UserError(f"{key}: {path} line {reader.line_num} has more cells than the header; check its commas")
        rows.append({name.strip(): cell.strip() for name, cell in record.items()})
    return TextTable(columns, rows)


def _unzipped(path: Path, key: str) -> bytes:
    with zipfile.ZipFile(path) as archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
        if len(members) != 1:
            raise UserError(f"{key}: {path} holds {len(members)} files; zip the one table alone")
        return archive.read(members[0])


def _parquet(path: Path, key: str) -> TextTable:
    """Numbers become their shortest text (1.0 is 1, for a column of numbers has no text), nulls become empty."""
    import pyarrow as pa  # only here: a start of Snakemake should not pay for it
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            table = file.read()
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{key}: {path} is not a readable Parquet file ({error}); write it again") from None
    rows = [{name: _cell(value) for name, value in row.items()} for row in table.to_pylist()]
    return TextTable(table.column_names, rows)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    return f"{value:.15g}" if isinstance(value, float) else str(value).strip()
