"""Tensors through Parquet and back, bit by bit."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from workflow_scripts.core.tensors import from_column, tensor_field, to_column


def _values(dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    rng = np.random.default_rng(0)
    if dtype == "bool":
        return rng.random(shape) < 0.5
    return (rng.normal(size=shape) * 100).astype(dtype)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "bool", "int32", "uint8"])
@pytest.mark.parametrize("shape", [(3, 3, 5), (4,), ()])
def test_round_trip_through_a_file(tmp_path, dtype, shape):
    field = tensor_field("t", shape, dtype)
    values = _values(dtype, (6, *shape))
    pq.write_table(pa.table([to_column(values, field)], schema=pa.schema([field])), tmp_path / "t.parquet")
    found = from_column(pq.read_table(tmp_path / "t.parquet"), "t")
    assert found.dtype == np.dtype(dtype)
    assert found.shape == (6, *shape)
    assert found.tobytes() == values.tobytes()


def test_special_half_floats_survive(tmp_path):
    every = np.arange(2**16, dtype=np.uint16).view(np.float16).reshape(256, 256)  # NaNs, infinities, subnormals
    field = tensor_field("t", (256,), "float16")
    pq.write_table(pa.table([to_column(every, field)], schema=pa.schema([field])), tmp_path / "t.parquet")
    assert from_column(pq.read_table(tmp_path / "t.parquet"), "t").tobytes() == every.tobytes()


def test_many_chunks_and_slices():
    field = tensor_field("t", (2, 3), "float32")
    values = _values("float32", (12, 2, 3))
    schema = pa.schema([field])
    pieces = [pa.table([to_column(values[a:b], field)], schema=schema) for a, b in ((0, 5), (5, 5), (5, 6), (6, 12))]
    table = pa.concat_tables(pieces)
    assert table.column("t").num_chunks > 1
    np.testing.assert_array_equal(from_column(table, "t"), values)
    np.testing.assert_array_equal(from_column(table.slice(3, 7), "t"), values[3:10])
    np.testing.assert_array_equal(from_column(pieces[3].slice(2, 2), "t"), values[8:10])
    np.testing.assert_array_equal(from_column(table.take([11, 0, 5]), "t"), values[[11, 0, 5]])


def test_empty_columns_keep_shape_and_type():
    field = tensor_field("t", (4, 4, 7), "float16")
    for table in (
        pa.schema([field]).empty_table(),
        pa.table({"t": pa.chunked_array([], field.type)}, pa.schema([field])),
    ):
        found = from_column(table, "t")
        assert (found.shape, found.dtype) == ((0, 4, 4, 7), np.float16)


def test_one_chunk_is_not_copied():
    field = tensor_field("t", (8,), "float32")
    values = np.ones((4, 8), np.float32)
    column = to_column(values, field)
    assert np.shares_memory(values, from_column(pa.table([column], schema=pa.schema([field])), "t"))


def test_memory_order_does_not_matter():
    field = tensor_field("t", (3, 2), "int32")
    values = np.arange(24, dtype=np.int32).reshape(2, 3, 4).transpose(2, 1, 0)
    np.testing.assert_array_equal(
        from_column(pa.table([to_column(values, field)], schema=pa.schema([field])), "t"), values
    )


@pytest.mark.parametrize("wrong", [np.zeros((2, 3), np.float64), np.zeros((2, 4), np.float32)])
def test_other_shapes_and_types_are_refused(wrong):
    with pytest.raises(ValueError, match="t: got"):
        to_column(wrong, tensor_field("t", (3,), "float32"))
