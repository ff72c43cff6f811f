"""Tables with their schema and provenance, written whole or not at all."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from workflow_scripts.core import schemas
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.status import SlideStatus, excluded
from workflow_scripts.core.tables import read_meta, read_status, read_table, status_meta, table_writer, write_table

ROWS = [{"slide_id": "a", "vector": [1.0, 2.0]}, {"slide_id": "b", "vector": [3.0]}]
SCHEMA = schemas.SLIDE_EMBEDDINGS


def _forms():
    columns = {"slide_id": ["a", "b"], "vector": [[1.0, 2.0], [3.0]]}
    turned = pa.table({"vector": pa.array(columns["vector"], pa.list_(pa.float64())), "slide_id": columns["slide_id"]})
    return {"rows": ROWS, "columns": columns, "table": turned}


@pytest.mark.parametrize("form", ["rows", "columns", "table"])
def test_rows_come_back_under_the_schema(tmp_path, form):
    write_table(tmp_path / "deep/t.parquet", _forms()[form], SCHEMA, {"answer": 42})
    table = read_table(tmp_path / "deep/t.parquet")
    assert table.to_pylist() == ROWS
    assert table.schema.equals(SCHEMA)
    assert read_meta(tmp_path / "deep/t.parquet") == {"answer": 42, "schema_version": schemas.VERSION}
    assert read_table(tmp_path / "deep/t.parquet", ["slide_id"]).column_names == ["slide_id"]


@pytest.mark.parametrize("name", [name for name in dir(schemas) if isinstance(getattr(schemas, name), pa.Schema)])
def test_every_schema_can_be_empty(tmp_path, name):
    schema = getattr(schemas, name)
    write_table(tmp_path / "t.parquet", [], schema)
    assert read_table(tmp_path / "t.parquet").schema.equals(schema)


@pytest.mark.parametrize("status", [SlideStatus("a"), excluded("b", "no_mpp", "say what the scale is: µm/px")])
def test_status_travels_with_empty_tables(tmp_path, status):
    write_table(tmp_path / "t.parquet", [], schemas.REGIONS, status_meta(status))
    assert read_status(tmp_path / "t.parquet") == status


def test_same_rows_give_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        write_table(tmp_path / name, ROWS, SCHEMA, {"b": 1, "a": 2} if name == "one" else {"a": 2, "b": 1})
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_failed_write_leaves_the_old_table(tmp_path):
    write_table(tmp_path / "t.parquet", ROWS, SCHEMA)
    before = (tmp_path / "t.parquet").read_bytes()
    with pytest.raises((pa.ArrowInvalid, pa.ArrowTypeError)):
        write_table(tmp_path / "t.parquet", [{"slide_id": "a", "vector": "no list"}], SCHEMA)
    with pytest.raises(RuntimeError), table_writer(tmp_path / "t.parquet", SCHEMA) as writer:
        writer.write(pa.Table.from_pylist(ROWS, schema=SCHEMA))
        raise RuntimeError
    assert (tmp_path / "t.parquet").read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["t.parquet"]


def test_pieces_are_row_groups_and_notes_come_last(tmp_path):
    with table_writer(tmp_path / "t.parquet", SCHEMA, compression="lz4") as writer:
        for row in ROWS:
            writer.write(pa.Table.from_pylist([row], schema=SCHEMA))
        assert not (tmp_path / "t.parquet").exists()
        writer.meta = status_meta(SlideStatus("a")) | {"rows": 2}
    assert pq.ParquetFile(tmp_path / "t.parquet").num_row_groups == 2
    assert read_table(tmp_path / "t.parquet").to_pylist() == ROWS
    assert read_meta(tmp_path / "t.parquet")["rows"] == 2
    assert read_status(tmp_path / "t.parquet") == SlideStatus("a")


def test_a_table_without_pieces_has_its_schema(tmp_path):
    with table_writer(tmp_path / "t.parquet", SCHEMA):
        pass
    assert read_table(tmp_path / "t.parquet").schema.equals(SCHEMA)
    assert read_meta(tmp_path / "t.parquet") == {"schema_version": schemas.VERSION}


def test_rubbish_is_told_by_name(tmp_path):
    (tmp_path / "t.parquet").write_bytes(b"PAR1 is not enough")
    with pytest.raises(UserError, match=r"t\.parquet"):
        read_table(tmp_path / "t.parquet")


def test_foreign_parquet_has_no_notes(tmp_path):
    pq.write_table(pa.table({"x": [1]}), tmp_path / "t.parquet")
    assert read_meta(tmp_path / "t.parquet") == {}
