import pytest

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.manifest import SlideRow, read_manifest, shard_of


def manifest(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "slides.csv"
    path.write_bytes(text.encode(encoding))
    return path


def test_all_columns(tmp_path):
    path = manifest(
        tmp_path,
        "slide_id,path,patient_id,mpp,subtype,grade\n s1 , a/b c.svs ,p1,0.25,LUAD,2\ns-2.x,/d/e.tiff,,,LUSC,\n",
    )
    assert read_manifest(path) == [
        SlideRow("s1", "a/b c.svs", "p1", 0.25, {"subtype": "LUAD", "grade": "2"}),
        SlideRow("s-2.x", "/d/e.tiff", "s-2.x", None, {"subtype": "LUSC", "grade": ""}),
    ]


@pytest.mark.parametrize("text", ["path,slide_id\nx.svs,a\n", "path,slide_id\r\nx.svs,a\r\n", "path,slide_id\nx.svs,a"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_least_columns_in_any_order_and_line_ending(tmp_path, text, encoding):
    assert read_manifest(manifest(tmp_path, text, encoding)) == [SlideRow("a", "x.svs", "a", None, {})]


def test_quoted_comma_in_a_path(tmp_path):
    assert read_manifest(manifest(tmp_path, 'slide_id,path\na,"x, y.svs"\n'))[0].path == "x, y.svs"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no column path and slide_id"),
        ("slide_id;path\na;x.svs\n", "is separated by semicolons or tabs"),
        ("slide_id,file\na,x.svs\n", "has no column path;"),
        ("slide_id,path\n", "lists no slide"),
        ("slide_id,path\na,x.svs\nb\n", "line 3 has another number of columns"),
        ("slide_id,path\na,x.svs,y\n", "line 2 has another number of columns"),
        ("slide_id,path\na/b,x.svs\n", "line 2: slide_id is 'a/b'"),
        ("slide_id,path\n.a,x.svs\n", "line 2: slide_id is '.a'"),
        ("slide_id,path\n,x.svs\n", "line 2: slide_id is ''"),
        ("slide_id,path\na b,x.svs\n", "line 2: slide_id is 'a b'"),
        ("slide_id,path\na, \n", "line 2: path of slide a is empty"),
        ("slide_id,path,mpp\na,x.svs,fine\n", "line 2: mpp is 'fine'"),
        ("slide_id,path,mpp\na,x.svs,0\n", "line 2: mpp is '0'"),
        ("slide_id,path,mpp\na,x.svs,-0.5\n", "line 2: mpp is '-0.5'"),
        ("slide_id,path,mpp\na,x.svs,nan\n", "line 2: mpp is 'nan'"),
        ("slide_id,path,mpp\na,x.svs,inf\n", "line 2: mpp is 'inf'"),
        ('slide_id,path,mpp\na,x.svs,"0,25"\n', "line 2: mpp is '0,25'"),
        ("slide_id,path\na,x.svs\nb,y.svs\na,z.svs\n", "slide_id a stands 2 times"),
    ],
)
def test_errors_are_one_sentence_with_the_place(tmp_path, text, message):
    path = manifest(tmp_path, text)
    with pytest.raises(UserError) as caught:
        read_manifest(path)
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file(tmp_path):
    with pytest.raises(UserError, match=r"none\.csv does not exist; set cohort\.manifest"):
        read_manifest(tmp_path / "none.csv")


def test_other_encoding(tmp_path):
    with pytest.raises(UserError, match="is not UTF-8 text"):
        read_manifest(manifest(tmp_path, "slide_id,path\na,é.svs\n", "latin-1"))


def test_shards_are_stable_and_even():
    ids = [f"slide{i}" for i in range(2000)]
    shards = [shard_of(slide, 4) for slide in ids]
    assert all(400 < shards.count(shard) < 600 for shard in range(4))
    assert set(shards) == {0, 1, 2, 3}
    assert {shard_of(slide, 1) for slide in ids} == {0}
    # pinned: another hash would move every slide of a running cohort to another job
    first_bytes = [0xCA978112, 0x341616BE]  # of the sha256 of the ids
    assert [shard_of(slide, 1000) for slide in ("a", "slide1")] == [number % 1000 for number in first_bytes]


def test_both_axes_and_remote_slides(tmp_path):
    digest = "AB" * 32
    text = f"slide_id,path,mpp,mpp_x,mpp_y,size_bytes,sha256,label\na,https://h/a.svs,,0.25,0.26,12,{digest},x\n"
    (row,) = read_manifest(manifest(tmp_path, text + "b,b.svs,0.5,,,,,y\n"))[:1]
    assert (row.mpp, row.mpp_y, row.size_bytes, row.sha256) == (0.25, 0.26, 12, digest.lower())
    assert row.labels == {"label": "x"}
    assert read_manifest(manifest(tmp_path, text + "b,b.svs,0.5,,,,,y\n"))[1][3:] == (
        0.5,
        {"label": "y"},
        None,
        None,
        "",
    )


@pytest.mark.parametrize(
    ("columns", "cells", "words"),
    [
        ("mpp,mpp_x,mpp_y", "0.5,0.5,0.5", "either mpp"),
        ("mpp_x", "0.5", "mpp_x and mpp_y"),
        ("mpp_x,mpp_y", "0.5,0", "mpp_y is '0'"),
        ("size_bytes", "1e9", "size_bytes is '1e9'"),
        ("sha256", "abc", "sha256 is 'abc'"),
    ],
)
def test_wrong_axes_and_checksums(tmp_path, columns, cells, words):
    with pytest.raises(UserError, match=words):
        read_manifest(manifest(tmp_path, f"slide_id,path,{columns}\na,x.svs,{cells}\n"))


def test_other_schemes_are_refused(tmp_path):
    with pytest.raises(UserError, match="line 2: slides cannot be fetched by ftp://"):
        read_manifest(manifest(tmp_path, "slide_id,path\na,ftp://h/x.svs\n"))
