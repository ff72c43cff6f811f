"""Tables that users bring: each format gives the same text, and what cannot be read is told in one sentence."""

import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.text_tables import read_text_table

ROWS = [{"slide_id": "a", "grade": "01"}, {"slide_id": "b", "grade": ""}]


def test_csv_tsv_and_zip_give_the_same(tmp_path):
    (tmp_path / "t.csv").write_text("slide_id , grade\na, 01\nb,\n")
    (tmp_path / "t.tsv").write_text("slide_id\tgrade\na\t01\nb\n")
    with zipfile.ZipFile(tmp_path / "t.csv.zip", "w") as archive:
        archive.writestr("../../elsewhere.csv.zip", "\ufeffslide_id,grade\na,01\nb,\n")
    for name in ("t.csv", "t.tsv", "t.csv.zip"):
        table = read_text_table(tmp_path / name, "table")
        assert (table.columns, table.rows) == (["slide_id", "grade"], ROWS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.csv", "t.csv.zip", "t.tsv"]  # nothing extracted
    assert not (tmp_path.parent / "elsewhere.csv.zip").exists()


def test_numbers_of_parquet_have_their_shortest_text(tmp_path):
    columns = {"n": [1, None], "f": [1.0, 0.1], "b": [True, False], "t": ["01", " x "]}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    assert read_text_table(tmp_path / "t.parquet", "table").rows == [
        {"n": "1", "f": "1", "b": "1", "t": "01"},
        {"n": "", "f": "0.1", "b": "0", "t": "x"},
    ]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("gone.csv", None, "gone.csv does not exist; put it there"),
        ("t.csv", b"slide_id,grade\n", "has no row below its header"),
        ("t.csv", b"slide_id;grade\na;1\n", "is separated by semicolons"),
        ("t.csv", b"slide_id,grade\na,1,2\n", "line 2 has more cells than the header"),
        ("t.csv", "slide_id,größe\na,1\n".encode("latin-1"), "is not UTF-8 text"),
        ("t.parquet", b"slide_id,grade\na,1\n", "is not a readable Parquet file"),
    ],
)
def test_what_cannot_be_read_is_told(tmp_path, name, content, words):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError) as error:
        read_text_table(tmp_path / name, "splits.file")
    assert words in str(error.value) and str(error.value).startswith("splits.file: ")
    assert "\n" not in str(error.value)


def test_a_zip_of_two_tables_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as archive:
        archive.writestr("a.csv", "slide_id\na\n")
        archive.writestr("b.csv", "slide_id\na\n")
    with pytest.raises(UserError, match="holds 2 files; zip the one table alone"):
        read_text_table(tmp_path / "t.zip", "table")
