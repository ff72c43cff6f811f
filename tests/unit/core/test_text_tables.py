"""Tables that users bring: each format gives the same text, and what cannot be read is told in one sentence."""

import os
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from workflow_scripts.core import text_tables
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.text_tables import open_delimited, read_text_table

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
        ("t.csv", b"slide_id,grade\na,1,2\n", "line 2 has 3 cells, the header 2; check its separators and quotes"),
        ("t.csv", b"slide_id,grade,grade\na,1,2\n", "has two columns 'grade'; rename or remove one"),
        ("t.csv", b"slide_id,grade\na,1\nb,1\x002\n", "line 3 holds a NUL byte"),
        (
            "t.csv",
            b'slide_id,grade\na,"1\nb,2\nc,3\n',
            "line 4 cannot be read (unexpected end of data); check its quotes",
        ),
        ("t.csv", b'slide_id,grade\na,"1\nb,"2"\n', "line 3 cannot be read"),
        ("t.csv", b"slide_id,grade\na," + b"x" * (1 << 24) + b"y\n", "line 2 cannot be read (field larger than"),
        ("t.xls", b"\xd0\xcf\x11\xe0\xa1\xb1", "is a workbook of a spreadsheet; save its sheet as CSV (UTF-8)"),
        ("t.xlsx", b"PK\x03\x04 cut off", "is a workbook of a spreadsheet; save its sheet as CSV (UTF-8)"),
        ("t.csv.gz", b"\x1f\x8b\x08\x00", "is packed by gzip; unpack it, or zip the table"),
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


@pytest.mark.parametrize("name", ["xl/workbook.xml", "content.xml"])
def test_a_workbook_is_refused_with_how_to_save_it(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "t.xlsx", "w") as archive:
        archive.writestr("[Content_Types].xml", "")
        archive.writestr(name, "")
    with pytest.raises(UserError, match=r"t\.xlsx is a workbook of a spreadsheet; save its sheet as CSV \(UTF-8\)"):
        read_text_table(tmp_path / "t.xlsx", "table")


@pytest.mark.parametrize(
    "content",
    [
        *(b"slide_id;grade;note\na;01;x,y\nb;;\n", b"slide_id\tgrade\tnote\na\t01\tx,y\nb\t\t\n"),
        *(b'sep=;\r\nslide_id;grade;note\r\na;01;"x,y"\r\nb;;\r\n', b'"slide_id";"grade";"note"\na;01;x,y\nb;;\n'),
        *(b'\n\nslide_id, grade, note\na, 01, "x,y"\nb,,\n', b'slide_id,grade,note\ra,01,"x,y"\rb,,\r'),
        'slide_id,grade,note\na,01,"x,y"\nb,,\n'.encode("utf-16"),
        b'slide_id,grade,note,,\na,01,"x,y",,\n,,,,\nb,,,,\n,,,,\n,,\n',
        b',slide_id,grade,note\n0,a,01,"x,y"\n1,b,,\n',
        b'Unnamed: 0,slide_id,grade,note\n0,a,01,"x,y"\n1,b,,\n',
    ],
)
def test_text_of_every_spreadsheet_gives_the_same(tmp_path, content):
    (tmp_path / "t.csv").write_bytes(content)
    table = read_text_table(tmp_path / "t.csv", "table")
    assert table.columns == ["slide_id", "grade", "note"]
    assert [[row[name] for name in table.columns] for row in table.rows] == [["a", "01", "x,y"], ["b", "", ""]]


def test_what_was_left_out_is_counted_and_lines_are_those_of_the_file(tmp_path):
    (tmp_path / "t.csv").write_text(',slide_id,grade,\n0,a,"x\ny",\n\n,,,\n1,b,z,\n')
    table = read_text_table(tmp_path / "t.csv", "table")
    assert (table.unnamed, table.empty, table.lines) == (2, 1, [3, 6])


def test_a_long_cell_is_read(tmp_path):
    (tmp_path / "t.csv").write_text(f"slide_id,note\na,{'z' * 200_000}\n")
    assert len(read_text_table(tmp_path / "t.csv", "table").rows[0]["note"]) == 200_000


def test_a_zip_of_two_tables_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as archive:
        archive.writestr("a.csv", "slide_id\na\n")
        archive.writestr("b.csv", "slide_id\na\n")
    with pytest.raises(UserError, match="holds 2 files; zip the one table alone"):
        read_text_table(tmp_path / "t.zip", "table")


def _zip(path, name="t.csv", content=b"slide_id,grade\na,1\n"):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return path


def test_a_zip_of_more_than_a_table_can_have_is_not_unpacked(tmp_path, monkeypatch):
    path = _zip(tmp_path / "t.csv.zip", content=b"slide_id,grade\n" + b"a,1\n" * 1000)
    assert path.stat().st_size < 1000
    monkeypatch.setattr(text_tables, "_LARGEST", 2000)
    monkeypatch.setattr(zipfile.ZipFile, "read", lambda *_: pytest.fail("unpacked"))
    with pytest.raises(UserError, match="which no table of slides is"):
        read_text_table(path, "table")


def test_a_zip_that_tells_less_than_it_holds_is_damaged(tmp_path):
    content = bytearray(_zip(tmp_path / "t.csv.zip", content=b"slide_id,grade\n" + b"a,1\n" * 1000).read_bytes())
    for mark, place in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = content.index(mark) + place
        content[at : at + 4] = (20).to_bytes(4, "little")
    (tmp_path / "t.csv.zip").write_bytes(content)
    with pytest.raises(UserError, match="cannot be unpacked"):
        read_text_table(tmp_path / "t.csv.zip", "table")


def test_a_zip_with_a_password_and_one_within_another_are_told(tmp_path):
    content = bytearray(_zip(tmp_path / "t.csv.zip").read_bytes())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + place] |= 1
    (tmp_path / "t.csv.zip").write_bytes(content)
    with pytest.raises(UserError, match=r"cannot be unpacked \(.*password"):
        read_text_table(tmp_path / "t.csv.zip", "table")
    inner = _zip(tmp_path / "inner.zip").read_bytes()
    with pytest.raises(UserError, match=r"is a workbook|is not UTF-8"):
        read_text_table(_zip(tmp_path / "outer.zip", content=inner), "table")


def test_a_table_beyond_sense_is_not_read(tmp_path, monkeypatch):
    (tmp_path / "t.csv").write_text("slide_id,grade\n" + "a,1\n" * 1000)
    monkeypatch.setattr(text_tables, "_LARGEST", 2000)
    with pytest.raises(UserError, match="which no table of slides is; name another file"):
        read_text_table(tmp_path / "t.csv", "table")


def test_a_name_that_leads_elsewhere_is_text(tmp_path):
    """What stands in a cell is compared, never opened."""
    table = read_text_table(_zip(tmp_path / "t.zip", "/etc/../x.csv", b"slide_id\n../../etc/passwd\n"), "table")
    assert table.rows == [{"slide_id": "../../etc/passwd"}]


@pytest.mark.skipif(os.geteuid() != 0, reason="another user is needed, for whom permissions count")
def test_a_table_that_may_not_be_read_is_told(tmp_path):
    file = tmp_path / "t.csv"
    file.write_text("slide_id,path\na,a.svs\n")
    file.chmod(0)
    os.seteuid(65534)
    try:
        with pytest.raises(UserError, match=r"t.csv cannot be read \(Permission denied\); see to its path"):
            open_delimited(file, "t.csv")
    finally:
        os.seteuid(0)
    with pytest.raises(UserError, match=r"cannot be read \(Is a directory\)"):
        open_delimited(tmp_path, "t.csv")
