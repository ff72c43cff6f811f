"""Vectors of slides that other tools made."""

import re
import zipfile

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from workflow_scripts import embed_table
from workflow_scripts.core import schemas
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.manifest import SlideRow
from workflow_scripts.core.tables import read_meta, read_table, write_table
from workflow_scripts.representations.slide_table import plain_id, read_vectors, table_ids, without_vectors

IDS = ["s1.svs", "s2.svs", "TCGA-05-4244-01Z-00-DX1.d4ff32cd.svs", "extra"]
VECTORS = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
SLIDES = [("TCGA-05-4244-01Z-00-DX1.d4ff32cd", "raw/a.svs"), ("other", "raw/s1.svs"), ("s2", "raw/b.svs")]


def parquet_list(folder, ids=IDS, vectors=VECTORS):
    pq.write_table(pa.table({"slide_id": ids, "vector": list(vectors), "note": ["x"] * len(ids)}), folder / "t.parquet")
    return folder / "t.parquet"


def parquet_wide(folder, ids=IDS, vectors=VECTORS):
    columns = {f"f{i}": column.astype(np.float64) for i, column in enumerate(np.array(vectors).T)}
    pq.write_table(pa.table({**columns, "slide_id": ids}), folder / "t.parquet")
    return folder / "t.parquet"


def csv(folder, ids=IDS, vectors=VECTORS):
    lines = [",".join([name, *map(repr, map(float, vector))]) for name, vector in zip(ids, vectors, strict=True)]
    (folder / "t.csv").write_text("\n".join(["slide_id,a,b,c", *lines, ""]))
    return folder / "t.csv"


def trident(folder, ids=IDS, vectors=VECTORS):
    for name, vector in zip(ids, vectors, strict=True):
        with h5py.File(folder / f"{plain_id(name)}.h5", "w") as file:
            file["features"] = vector[None] if name == "extra" else vector
    return folder


WRITERS = pytest.mark.parametrize("write", [parquet_list, parquet_wide, csv, trident])


@WRITERS
def test_vectors_are_found_by_id_or_file_without_the_suffix(tmp_path, write):
    source = write(tmp_path)
    found = read_vectors(source, SLIDES)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, VECTORS[[2, 0, 1]])
    assert sorted(map(plain_id, table_ids(source))) == sorted(map(plain_id, IDS))
    rows = [SlideRow(slide_id, f"raw/{name}.svs", "p", None, {}) for slide_id, name in (("other", "s1"), ("more", "x"))]
    assert without_vectors(source, rows, tmp_path / "none") == rows[1:]


@WRITERS
def test_missing_slides_are_refused_with_the_first_named(tmp_path, write):
    source = write(tmp_path)
    wanted = [*SLIDES, *((f"m{i}", f"m{i}.svs") for i in range(5))]
    with pytest.raises(UserError, match="has no vector of 5 of 8 slides: m0, m1, m2 and 2 more"):
        read_vectors(source, wanted)


@WRITERS
def test_one_vector_is_never_that_of_two_slides(tmp_path, write):
    """Two slides of one file name in two folders: the vector is that of the slide whose id it has, or of none."""
    source = write(tmp_path)
    twins = [("s1", "f1/s1.svs"), ("s1_2", "f2/s1.svs")]
    rows = [SlideRow(*slide, "p", None, {}) for slide in twins]
    assert without_vectors(source, rows, tmp_path / "none") == rows[1:]
    with pytest.raises(UserError, match="has no vector of 1 of 2 slides: s1_2"):
        read_vectors(source, twins)
    np.testing.assert_array_equal(read_vectors(source, twins[:1], twins[1:]), VECTORS[[0]])
    with pytest.raises(UserError, match="has no vector of 1 of 1 slides: s1_2"):  # the other is excluded, not gone
        read_vectors(source, twins[1:], twins[:1])
    with pytest.raises(UserError, match="has no vector of 2 of 2 slides: x, y"):
        read_vectors(source, [("x", "f1/s1.svs"), ("y", "f2/s1.svs")])


DIALECTS = {
    "t.csv": "slide_id,a,b\ns1,0.5,1e-3\ns2,-2,3\n",
    "semicolon.csv": "slide_id;a;b\ns1;0,5;0,001\ns2;-2;3\n",
    "excel.csv": "sep=;\r\nslide_id;a;b;\r\ns1;0,5;0,001;\r\ns2;-2;3;\r\n;;;\r\n",
    "t.tsv": "slide_id\ta\tb\ns1\t0.5\t1e-3\ns2\t-2\t3\n",
    "quoted.csv": '"slide_id","a","b"\n"s1","0.5","1e-3"\n\n"s2", \N{MINUS SIGN}2 ,"3"\n',
    "pandas.csv": ",slide_id,a,b\n0,s1,0.5,0.001\n1,s2,-2,3\n",
    "mac.csv": "slide_id,a,b\rs1,0.5,1e-3\rs2,-2,3\r",
}


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_every_dialect_of_text_gives_the_same(tmp_path, name, encoding):
    path = tmp_path / name
    path.write_bytes(DIALECTS[name].encode(encoding))
    np.testing.assert_array_equal(read_vectors(path, [("s2", ""), ("s1", "")]), np.float32([[-2, 3], [0.5, 0.001]]))
    with zipfile.ZipFile(tmp_path / "z.csv.zip", "w") as archive:
        archive.write(path, name)
    assert table_ids(tmp_path / "z.csv.zip") == ["s1", "s2"]


@pytest.mark.parametrize("cell", ["", "NA", "nan", "[Not Available]", "#REF!", "unknown"])
@pytest.mark.parametrize("separator", ",;")
def test_a_missing_value_is_no_number_of_a_vector(tmp_path, cell, separator):
    lines = (["slide_id", "a", "b"], ["s1", cell, "1"], ["s2", "2", "3"])
    (tmp_path / "t.csv").write_text("\n".join(map(separator.join, lines)))
    with pytest.raises(UserError, match="the vector of slide s1 is not finite"):
        read_vectors(tmp_path / "t.csv", [("s1", "")])
    np.testing.assert_array_equal(read_vectors(tmp_path / "t.csv", [("s2", "")]), [[2, 3]])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("slide_id,a,a\ns1,1,2\n", "has two columns 'a'; rename or remove one"),
        ("slide_id,a\ns1,1,2\n", "line 2 has 3 cells, the header 2"),
        ('slide_id,a\ns1,"1\n', "cannot be read (unexpected end of data)"),
        ("slide_id,a\ns1,1\0\n", "line 2 holds a NUL byte"),
        ('slide_id,a\ns1,"1,234"\ns2,5\n', "slide s1 has '1,234' in column a, where a number is expected"),
        ("slide_id,a\ns1,inf\ns2,5\n", "the vector of slide s1 is not finite"),
    ],
)
def test_text_is_refused_as_every_table_is(tmp_path, text, words):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(UserError, match=re.escape(words)):
        read_vectors(tmp_path / "t.csv", [("s1", "")])


def test_ids_that_are_numbers_stay_text(tmp_path):
    source = csv(tmp_path, ["01", "1", "2", "3"])
    np.testing.assert_array_equal(read_vectors(source, [("1", ""), ("01", "")]), VECTORS[[1, 0]])


def test_wrong_tables_are_told(tmp_path):
    def told(write, *args):
        with pytest.raises(UserError) as error:
            read_vectors(write(tmp_path, *args), SLIDES)
        return str(error.value)

    assert "slide s1 stands more than once" in told(csv, ["s1.svs", "s1.tif", IDS[2], "s2"])
    wrong = VECTORS.copy()
    wrong[0, 1] = np.nan
    assert "the vector of slide other is not finite" in told(parquet_wide, IDS, wrong)
    assert "not finite" in told(csv, IDS, wrong)
    assert "different lengths (2 to 3)" in told(parquet_list, IDS, [VECTORS[0][:2], *VECTORS[1:]])
    (tmp_path / "t.csv").write_text("slide_id,a,site\ns1,1.0,here\n")
    with pytest.raises(UserError, match="column site holds no numbers; give slide_id and the vectors alone"):
        read_vectors(tmp_path / "t.csv", SLIDES)
    (tmp_path / "t.csv").write_text("name,a\ns1,1.0\n")
    for read in (lambda: read_vectors(tmp_path / "t.csv", SLIDES), lambda: table_ids(tmp_path / "t.csv")):
        with pytest.raises(UserError, match="has no column slide_id, but name, a"):
            read()
    (tmp_path / "t.parquet").write_text("no table")
    with pytest.raises(UserError, match="is not a readable Parquet file"):
        table_ids(tmp_path / "t.parquet")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no value"):
        read_vectors(tmp_path / "empty", SLIDES)
    (tmp_path / "empty" / "s1.h5").write_text("no features")
    with pytest.raises(UserError, match=r"s1\.h5 has no readable data set features"):
        read_vectors(tmp_path / "empty", SLIDES)


def with_text(folder, kind, rows):
    """A table of slides s0, s1 ... with the cells x and y, as CSV, as columns of Parquet or as lists of Parquet."""
    names = [f"s{number}" for number in range(len(rows))]
    if kind == "csv":
        lines = [",".join([name, *row]) for name, row in zip(names, rows, strict=True)]
        (folder / "t.csv").write_text("\n".join(["slide_id,x,y", *lines, ""]))
        return folder / "t.csv"
    columns = {"x": [row[0] for row in rows], "y": [row[1] for row in rows]} if kind == "wide" else {"v": rows}
    pq.write_table(pa.table({"slide_id": names, **columns}), folder / "t.parquet")
    return folder / "t.parquet"


@pytest.mark.parametrize(("kind", "column"), [("csv", "x"), ("wide", "x"), ("list", "v")])
def test_a_cell_of_text_is_told_by_slide_and_column_before_anything_runs(tmp_path, kind, column):
    rows = [["1", "0.5"], ["", "2"], ["high", "1e-3"], ["2.5", "3"]]
    source = with_text(tmp_path, kind, rows)
    slides = [SlideRow("s0", "s0.svs", "p", None, {})]
    for read in (lambda: read_vectors(source, [("s0", "")]), lambda: without_vectors(source, slides, tmp_path)):
        with pytest.raises(UserError, match=rf"t\.\w+: slide s2 has 'high' in column {column}, where a number is exp"):
            read()
    rows[3][0] = "low"
    with pytest.raises(UserError, match=r"'high' in column \w, where a number is exp.* \(2 such cells\); write"):
        table_ids(with_text(tmp_path, kind, rows))


def test_a_column_of_text_is_told_as_one(tmp_path):
    for kind, rows in (("csv", [["here", "1"], ["there", "2"]]), ("wide", [["here", "1"], ["there", "2"]])):
        with pytest.raises(UserError, match="column x holds no numbers; give slide_id and the vectors alone"):
            table_ids(with_text(tmp_path, kind, rows))
    with pytest.raises(UserError, match="column v holds numbers as text; save it as numbers"):
        table_ids(with_text(tmp_path, "list", [["1", "2"]]))


def test_fractions_below_whole_numbers_are_read(tmp_path):
    """Arrow would take the type of the first megabyte."""
    rows = [["0", "1"]] * 200_000 + [["0.25", "1"]]
    source = with_text(tmp_path, "csv", rows)
    np.testing.assert_array_equal(read_vectors(source, [("s200000", ""), ("s0", "")]), [[0.25, 1], [0, 1]])


def test_the_command_makes_bags_of_one_vector(tmp_path):
    source = parquet_list(tmp_path)
    slides = [{"slide_id": name, "patient_id": "p", "path": path, "status": "ok"} for name, path in SLIDES]
    slides.append({"slide_id": "gone", "patient_id": "p", "path": "gone.svs", "status": "excluded"})
    write_table(tmp_path / "slides.parquet", slides, schemas.SLIDES)
    outputs = ["--regions-output", f"{tmp_path}/regions.parquet", "--slides-output", f"{tmp_path}/embedded.parquet"]
    told = ["--table", str(source), "--pretrained-on", "335,645 slides", "--slides", f"{tmp_path}/slides.parquet"]
    embed_table.main([*told, *outputs])
    for file in ("regions", "embedded"):
        rows = read_table(tmp_path / f"{file}.parquet").to_pylist()
        assert [row["slide_id"] for row in rows] == [name for name, _ in SLIDES]
        np.testing.assert_array_equal(np.array([row["vector"] for row in rows], np.float32), VECTORS[[2, 0, 1]])
        meta = read_meta(tmp_path / f"{file}.parquet")
        assert (meta["pretrained_on"], meta["saw"]) == ("335,645 slides", "none")
