"""Parquet tables with a written schema and provenance in the file's metadata."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from workflow_scripts.core import schemas
from workflow_scripts.core.arrow_start import start_without_pandas
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import whole_file
from workflow_scripts.core.status import SlideStatus

_KEY = b"slpd"
start_without_pandas()


def _notes(meta: dict[str, Any] | None) -> str:
    return json.dumps({"schema_version": schemas.VERSION, **(meta or {})}, sort_keys=True)


def write_table(
    path: Path | str,
    rows: pa.Table | list[dict[str, Any]] | dict[str, Any],
    schema: pa.Schema,
    meta: dict[str, Any] | None = None,
    **options: Any,
) -> None:
    """Write rows under `schema`, whole or not at all.

    Args:
        path: the Parquet file.
        rows: a table, a list of row dicts, or a dict of columns.
        schema: one of `core.schemas`, or one built by `core.tensors.tensor_field`.
        meta: JSON-serialisable provenance and facts, read back by `read_meta`; `schema_version` is added.
        options: handed to `pyarrow.parquet.write_table`.
    """
    schema = schema.with_metadata({**(schema.metadata or {}), _KEY: _notes(meta).encode()})
    if isinstance(rows, list):
        table = pa.Table.from_pylist(rows, schema=schema)
    elif isinstance(rows, dict):
        table = pa.Table.from_pydict(rows, schema=schema)
    else:
        table = rows.select(schema.names).cast(schema)
    options.setdefault("compression", "zstd")
    with whole_file(path) as partial:
        pq.write_table(table, partial, **options)


class TableWriter:
    """A table written piece by piece; `meta` may be filled in until the last piece is written."""

    def __init__(self, file: pq.ParquetWriter) -> None:
        self.meta: dict[str, Any] = {}
        self._file = file

    def write(self, piece: pa.Table) -> None:
        """Append `piece` as one row group."""
        self._file.write_table(piece, row_group_size=max(1, len(piece)))


@contextmanager
def table_writer(path: Path | str, schema: pa.Schema, **options: Any) -> Iterator[TableWriter]:
    """As `write_table`, but in pieces, for tables that do not fit in memory; on an error no file appears.

    Args:
        path: the Parquet file.
        schema: as in `write_table`.
        options: handed to `pyarrow.parquet.ParquetWriter`.
    """
    with whole_file(path) as partial, pq.ParquetWriter(partial, schema, **options) as file:
        writer = TableWriter(file)
        yield writer
        file.add_key_value_metadata({_KEY.decode(): _notes(writer.meta)})


def read_table(path: Path | str, columns: list[str] | None = None) -> pa.Table:
    """Read a table written by `write_table`.

    Raises:
        UserError: the file is no Parquet file of this workflow.
    """
    try:
        with pq.ParquetFile(path) as file:  # `pq.read_table` imports its engine for data sets first, for 0.3 s
            missing = set(columns or ()) - set(file.schema_arrow.names)
            if not missing:
                return file.read(columns)
    except pa.ArrowInvalid as error:
        raise UserError(f"{path} is not a readable Parquet file ({error}); delete it and run again") from error
    raise UserError(f"{path} has no column {', '.join(sorted(missing))}; delete it and run again")


def read_meta(path: Path | str) -> dict[str, Any]:
    """The `meta` dict that `write_table` or `table_writer` stored."""
    meta: dict[str, Any] = json.loads((pq.read_metadata(path).metadata or {}).get(_KEY, b"{}"))
    return meta


def status_meta(status: SlideStatus) -> dict[str, Any]:
    """`meta` entry that carries a slide's status through per-slide tables that may be empty."""
    return {"status": asdict(status)}


def read_status(path: Path | str) -> SlideStatus:
    """Status stored by `status_meta` in a per-slide table."""
    return SlideStatus(**read_meta(path)["status"])
