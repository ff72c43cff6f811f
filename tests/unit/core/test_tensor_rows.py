"""Offsets of rows within Parquet files, against what pyarrow decodes."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from workflow_scripts.core.tensor_rows import TensorRows, row_offsets
from workflow_scripts.core.tensors import tensor_field, to_column

SHAPE = (3, 7)


def _file(path, count, **options):
    """A file with a tensor column of random halves between two other columns; the values."""
    values = np.random.default_rng(count).normal(size=(count, *SHAPE)).astype(np.float16)
    schema = pa.schema([pa.field("id", pa.string()), tensor_field("t", SHAPE, "float16"), pa.field("n", pa.int64())])
    columns = {"id": [f"row {i}" for i in range(count)], "t": to_column(values, schema.field("t")), "n": range(count)}
    pq.write_table(pa.table(columns, schema=schema), path, **options)
    return values


PLAIN = {"compression": {"id": "zstd"}, "use_dictionary": False}


@pytest.mark.parametrize(
    ("count", "options"),
    [
        (1, PLAIN),
        (50, PLAIN | {"row_group_size": 8}),
        (1000, PLAIN | {"write_statistics": True}),
        (64, PLAIN | {"row_group_size": 32, "write_page_checksum": True}),
        (64, PLAIN | {"row_group_size": 63, "write_page_index": True}),
    ],
)
def test_offsets_point_at_the_values(tmp_path, count, options):
    values = _file(tmp_path / "t.parquet", count, **options)
    offsets = row_offsets(tmp_path / "t.parquet", pq.read_metadata(tmp_path / "t.parquet"), "t")
    data = (tmp_path / "t.parquet").read_bytes()
    assert [data[start : start + 42] for start in offsets] == [row.tobytes() for row in values]


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "lz4", "use_dictionary": False},
        {"compression": "none", "use_dictionary": True},
        PLAIN | {"data_page_size": 64, "write_batch_size": 4},
        PLAIN | {"data_page_version": "2.0"},
        PLAIN | {"column_encoding": {"t": "BYTE_STREAM_SPLIT"}},
    ],
    ids=["compressed", "dictionary", "several pages", "version 2", "split bytes"],
)
def test_rows_of_any_other_file_are_decoded(tmp_path, options):
    path = tmp_path / "t.parquet"
    values = _file(path, 40, row_group_size=16, **options)
    with pq.ParquetFile(path) as file:
        rows = TensorRows.of(path, file, "t")
    assert rows.offsets is None
    everything = np.zeros((40, 42), np.uint8)
    rows.read_all(everything)
    assert everything.tobytes() == values.tobytes()
    check_spans(rows, values)
    some = np.zeros((3, 42), np.uint8)
    rows.read(np.array([39, 0, 17]), list(some))
    assert some.tobytes() == values[[39, 0, 17]].tobytes()


def check_spans(rows, values):
    """Rows that begin and end within the groups of 16, and at their bounds."""
    for first, last in [(0, 16), (5, 12), (15, 33), (16, 40), (39, 40), (7, 7)]:
        found = np.zeros((last - first, 42), np.uint8)
        rows.read_all(found, first)
        assert found.tobytes() == values[first:last].tobytes()


def test_rows_are_read_alone_and_all_at_once(tmp_path):
    path = tmp_path / "t.parquet"
    values = _file(path, 40, row_group_size=16, **PLAIN)
    with pq.ParquetFile(path) as file:
        rows = TensorRows.of(path, file, "t")
    assert len(rows) == 40
    everything = np.zeros((40, 42), np.uint8)
    rows.read_all(everything)
    assert everything.tobytes() == values.tobytes()
    check_spans(rows, values)
    some, picked = np.zeros((4, 42), np.uint8), np.array([15, 39, 16, 15])
    rows.expect(picked)
    rows.read(picked, list(some))
    assert some.tobytes() == values[picked].tobytes()
