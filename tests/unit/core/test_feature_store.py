"""Features of a cohort from one file a slide."""

import numpy as np
import pyarrow as pa
import pytest

from workflow_scripts.core import schemas
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.feature_file import FEATURE_PARQUET
from workflow_scripts.core.feature_store import feature_facts, feature_schema, load_features, slide_file, usable_slides
from workflow_scripts.core.tables import table_writer, write_table
from workflow_scripts.core.tensors import to_column

GRID, DIM = 3, 5
SCHEMA = feature_schema(GRID, DIM)


def _write(folder, slide_id, count, pieces=1, options=FEATURE_PARQUET):
    """Random features of a slide, returned as arrays."""
    rng = np.random.default_rng(len(slide_id) + count)
    arrays = {
        "features": rng.normal(size=(count, GRID, GRID, DIM)).astype(np.float16),
        "read_ok": rng.random((count, GRID, GRID)) < 0.8,
        "tissue": rng.random((count, GRID, GRID)).astype(np.float32),
        "colour": rng.random((count, GRID, GRID, 6)).astype(np.float32),
    }
    with table_writer(slide_file(folder, slide_id), SCHEMA, **options) as writer:
        writer.meta = {"grid": GRID, "mpp": 0.5}
        for part in np.array_split(np.arange(count), pieces) if count else []:
            columns = {name: to_column(values[part], SCHEMA.field(name)) for name, values in arrays.items()}
            columns |= {"slide_id": [slide_id] * len(part), "region_id": [f"{slide_id}_{i}" for i in part]}
            writer.write(pa.table({name: columns[name] for name in SCHEMA.names}, schema=SCHEMA))
    return arrays


def test_slides_are_contiguous_in_the_order_asked_for(tmp_path):
    written = {name: _write(tmp_path, name, count, 2) for name, count in (("a", 4), ("bb", 7), ("c", 2))}
    store = load_features(tmp_path, ["bb", "a", "c"])
    assert store.slide_ids == ["bb", "a", "c"]
    assert store.counts.tolist() == [7, 4, 2]
    assert store.slide_index.tolist() == [0] * 7 + [1] * 4 + [2] * 2
    assert store.region_ids == [*(f"bb_{i}" for i in range(7)), *(f"a_{i}" for i in range(4)), "c_0", "c_1"]
    expected = np.concatenate([written[name]["features"] for name in store.slide_ids])
    assert store.tokens.dtype == np.float16
    assert store.tokens.tobytes() == expected.tobytes()
    np.testing.assert_array_equal(store.read_ok, np.concatenate([written[n]["read_ok"] for n in store.slide_ids]))
    assert (store.grid, store.dim) == (GRID, DIM)


def test_slides_without_regions_are_left_out(tmp_path):
    _write(tmp_path, "a", 3)
    _write(tmp_path, "none", 0)
    store = load_features(tmp_path, ["none", "a"])
    assert store.slide_ids == ["a"]
    assert store.slide_index.tolist() == [0, 0, 0]


def test_facts_are_the_notes_of_the_file(tmp_path):
    _write(tmp_path, "a", 1)
    facts = feature_facts(tmp_path, "a")
    assert (facts["grid"], facts["mpp"]) == (GRID, 0.5)


def test_usable_slides_keep_the_manifest_order(tmp_path):
    rows = [
        {"slide_id": name, "patient_id": name, "status": status}
        for name, status in (("z", "ok"), ("b", "excluded"), ("a", "ok"))
    ]
    write_table(tmp_path / "slides.parquet", rows, schemas.SLIDES)
    assert usable_slides(tmp_path / "slides.parquet") == ["z", "a"]


def test_a_missing_slide_is_an_error(tmp_path):
    _write(tmp_path, "a", 1)
    with pytest.raises(FileNotFoundError, match=r"b\.parquet"):
        load_features(tmp_path, ["a", "b"])


def test_regions_are_picked_in_any_order_from_files_of_either_kind(tmp_path):
    lz4 = FEATURE_PARQUET | {"compression": "lz4"}
    written = [_write(tmp_path, "a", 9, 3), _write(tmp_path, "b", 1), _write(tmp_path, "cc", 8, 2, lz4)]
    expected = np.concatenate([arrays["features"] for arrays in written])
    store = load_features(tmp_path, ["a", "b", "cc"])
    assert [rows.offsets is None for rows in store.rows] == [False, False, True]
    index = np.random.default_rng(0).integers(0, 18, 50)  # with repeats
    found = np.zeros((50, GRID, GRID, DIM), np.float16)
    store.pick(index, found)
    assert found.tobytes() == expected[index].tobytes()


@pytest.mark.parametrize(("first", "count"), [(0, 11), (3, 6), (4, 1), (2, 8), (10, 1)])
def test_consecutive_regions_fill_an_array(tmp_path, first, count):
    for name, regions in (("a", 3), ("bb", 2), ("ccc", 4), ("dddd", 2)):
        _write(tmp_path, name, regions)
    store = load_features(tmp_path, ["a", "bb", "ccc", "dddd"])
    found = np.zeros((count, GRID * GRID, DIM), np.float16)
    store.read_into(found, first)
    assert found.tobytes() == store.tokens[first : first + count].tobytes()
    assert store.nbytes == store.tokens.nbytes


def test_tissue_is_in_the_order_of_the_regions(tmp_path):
    written = {name: _write(tmp_path, name, count) for name, count in (("a", 2), ("bb", 3))}
    store = load_features(tmp_path, ["bb", "a"])
    np.testing.assert_array_equal(store.tissue, np.concatenate([written["bb"]["tissue"], written["a"]["tissue"]]))


def test_no_region_at_all_is_told_with_the_reason(tmp_path):
    _write(tmp_path, "none", 0)
    with pytest.raises(UserError, match=r"none of the 1 usable slides .* slides\.parquet"):
        load_features(tmp_path, ["none"])


def test_slides_of_another_shape_are_named(tmp_path):
    _write(tmp_path, "a", 1)
    other = feature_schema(GRID, DIM + 1)
    arrays = {field.name: np.zeros((1, *shape), dtype) for field, shape, dtype in [
        (other.field("features"), (GRID, GRID, DIM + 1), np.float16), (other.field("read_ok"), (GRID, GRID), bool),
        (other.field("tissue"), (GRID, GRID), np.float32), (other.field("colour"), (GRID, GRID, 6), np.float32),
    ]}  # fmt: skip
    columns = {name: to_column(values, other.field(name)) for name, values in arrays.items()}
    write_table(slide_file(tmp_path, "b"), columns | {"slide_id": ["b"], "region_id": ["b_0"]}, other)
    with pytest.raises(UserError, match=r"slide b .*\(3, 3, 6\).* those of a \(3, 3, 5\)"):
        load_features(tmp_path, ["a", "b"])


def test_a_file_that_is_no_parquet_is_named(tmp_path):
    _write(tmp_path, "a", 1)
    slide_file(tmp_path, "b").write_bytes(b"not a table at all")
    with pytest.raises(UserError, match=r"b\.parquet is not a readable Parquet file"):
        load_features(tmp_path, ["a", "b"])
