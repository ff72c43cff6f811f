import pytest

from workflow_scripts.core import schemas
from workflow_scripts.core.slide_lists import remove_other_lists
from workflow_scripts.core.tables import write_table


@pytest.mark.parametrize("schema", [schemas.CHUNK, schemas.FEATURE_INDEX], ids=["chunk", "shard"])
def test_lists_that_name_ones_slides_go_and_all_others_stay(tmp_path, schema):
    facts = {"status": "ok", "made_of": "x"}
    lists = {"0": "ab", "1": "c", "00": "d", "test_0": "e", "01": "xb"}
    for name, slides in lists.items():
        rows = [{**dict.fromkeys(schema.names), **facts, "slide_id": slide} for slide in slides]
        write_table(tmp_path / f"{name}.parquet", [{k: row[k] for k in schema.names} for row in rows], schema)
    (tmp_path / "cut.parquet").write_bytes(b"PAR1")
    (tmp_path / "slides").mkdir()
    gone = remove_other_lists(tmp_path / "0.parquet", ["a", "b", "d"])
    assert {file.stem for file in gone} == {"00", "01"}
    assert {file.stem for file in tmp_path.iterdir()} == {"0", "1", "test_0", "cut", "slides"}
