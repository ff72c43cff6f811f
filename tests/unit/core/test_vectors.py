import numpy as np
import pyarrow as pa

from workflow_scripts.core.vectors import vectors_at, vectors_of

LISTS = pa.list_(pa.float32())


def test_vectors_are_in_the_order_of_rows_also_of_parts_of_tables():
    values = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    table = pa.table({"vector": pa.array(list(values), LISTS)})
    assert np.array_equal(vectors_of(table), values) and vectors_of(table).dtype == np.float32
    assert np.array_equal(vectors_of(table.slice(2, 3)), values[2:5])
    assert np.array_equal(vectors_of(pa.concat_tables([table.slice(5), table.slice(0, 2)])), values[[5, 6, 0, 1]])
    double = pa.table({"vector": pa.array(values.astype(float).tolist(), pa.list_(pa.float64()))})
    assert vectors_of(double).dtype == np.float32 and np.array_equal(vectors_of(double), values)


def test_no_rows_give_no_vectors():
    assert vectors_of(pa.table({"vector": pa.array([], LISTS)})).shape == (0, 0)


def test_vectors_come_in_the_order_that_is_asked_for():
    table = pa.table({"region_id": ["a", "b", "c"], "vector": [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]})
    np.testing.assert_array_equal(vectors_at(table, ["c", "x", "a"]), np.float32([[5, 6], [np.nan] * 2, [1, 2]]))
