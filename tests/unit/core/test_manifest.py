import pytest

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.manifest import SlideRow, load_manifest, read_manifest, shard_of, write_manifest


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
        ("", "has no column slide_id or path, no header at all"),
        ("id,note\na,x.svs\n", "has no column slide_id or path, only id, note; its header must name slide_id,path"),
        ("slide_id,path,Path\na,x.svs,y.svs\n", "has two columns for path, 'path' and 'Path'; remove one"),
        ("slide_id,path,grade,grade\na,x.svs,1,2\n", "has two columns 'grade'"),
        ("slide_id,path\na,x\0.svs\n", "line 2 holds a NUL byte"),
        ('slide_id,path,note\na,x.svs,"5 mm\nb,y.svs,\n', "line 3 cannot be read (unexpected end of data)"),
        ("slide_id,path\nNA,x.svs\n", "line 2: slide_id is 'NA', which stands for a missing value"),
        ("slide_id,path\na,nan\n", "line 2: path of slide a is empty"),
        ("wsi\nf1/a.svs\nf2/a.svs\n", "slide_id a stands 2 times; give every slide its own in a column slide_id"),
        ("slide_id,path\n", "lists no slide"),
        ("slide_id,path\na,x.svs\nb\n", "line 3 has 1 cells, the header 2"),
        ("slide_id,path\na,x.svs,y\n", "line 2 has 3 cells, the header 2"),
        ("slide_id,path\na/b,x.svs\n", "line 2: slide_id is 'a/b'"),
        ("slide_id,path\n.a,x.svs\n", "line 2: slide_id is '.a'"),
        ("slide_id,path\n,x.svs\n", "line 2: slide_id is ''"),
        ("slide_id,path\na b,x.svs\n", "line 2: slide_id is 'a b'"),
        ("slide_id,path\na, \n", "line 2: path of slide a is empty"),
        ("slide_id,path,mpp\na,x.svs,fine\n", "line 2: mpp is 'fine'"),
        ("slide_id,path,mpp\na,x.svs,0\n", "line 2: mpp is '0'"),
        ("slide_id,path,mpp\na,x.svs,-0.5\n", "line 2: mpp is '-0.5'"),
        ("slide_id,path,mpp\na,x.svs,inf\n", "line 2: mpp is 'inf'"),
        ('slide_id,path,mpp\na,x.svs,"1,250"\n', "line 2: mpp is '1,250'"),
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


@pytest.mark.parametrize("missing", ["", "nan", "NA", "None", "[Not Available]", "unknown", "-"])
def test_missing_values_are_missing_in_every_column(tmp_path, missing):
    header = "slide_id,path,patient_id,mpp,mpp_x,mpp_y,size_bytes,sha256,grade"
    rows = read_manifest(
        manifest(tmp_path, f"{header}\n" + "".join(f"{name},{name}.svs" + f",{missing}" * 7 + "\n" for name in "ab"))
    )
    assert rows == [SlideRow(name, f"{name}.svs", name, None, {"grade": missing}) for name in "ab"]


def test_a_decimal_comma_where_it_can_be_nothing_else(tmp_path):
    (row,) = read_manifest(manifest(tmp_path, "slide_id;path;mpp\na;x.svs;0,25\n"))
    assert row.mpp == 0.25


@pytest.mark.parametrize(
    ("header", "cells", "row"),
    [
        ("Slide ID, PATH ,Patient-ID,MPP", "a,x.svs,p,0.5", SlideRow("a", "x.svs", "p", 0.5, {})),
        ("wsi,mpp", "f/a b.svs,0.5", SlideRow("a_b", "f/a b.svs", "a_b", 0.5, {"wsi": "f/a b.svs"})),  # TRIDENT
        (  # CLAM
            "case_id,slide_id,label",
            "p,a,tumor",
            SlideRow("a", "a", "p", None, {"case_id": "p", "label": "tumor"}),
        ),
        (
            "PATIENT,FILENAME",
            "p,a.svs",
            SlideRow("a", "a.svs", "p", None, {"PATIENT": "p", "FILENAME": "a.svs"}),
        ),  # STAMP
        (
            "sample_id,image_path,mask_path,spacing_at_level_0",
            "a,x.tif,,0.25",
            SlideRow(
                "a",
                "x.tif",
                "a",
                0.25,
                {"sample_id": "a", "image_path": "x.tif", "mask_path": "", "spacing_at_level_0": "0.25"},
            ),
        ),  # slide2vec
        ("slide_id,path,MPP (µm/px)", "a,x.svs,0.25", SlideRow("a", "x.svs", "a", 0.25, {"MPP (µm/px)": "0.25"})),
        ("slide_id,path,um/px", "a,x.svs,0.25", SlideRow("a", "x.svs", "a", 0.25, {"um/px": "0.25"})),
        (  # our own names come first
            "slide_id,path,wsi,case_id,patient_id",
            "a,x.svs,y,c,p",
            SlideRow("a", "x.svs", "p", None, {"wsi": "y", "case_id": "c"}),
        ),
    ],
)
def test_headers_of_other_tools(tmp_path, header, cells, row):
    assert read_manifest(manifest(tmp_path, f"{header}\n{cells}\n")) == [row]


def test_home_is_written_with_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    rows = read_manifest(manifest(tmp_path, "slide_id,path\na,~/a.svs\nb,x/~b.svs\nc,~c.svs\n"))
    assert [row.path for row in rows] == ["/home/me/a.svs", "x/~b.svs", "~c.svs"]


@pytest.mark.parametrize("spelling", ["./x/a.svs", "x//a.svs", "x/../x/a.svs", "x/./a.svs", "{here}/x/a.svs"])
def test_one_file_in_several_spellings(tmp_path, monkeypatch, spelling):
    monkeypatch.chdir(tmp_path)
    text = f"slide_id,path\na,x/a.svs\nb,{spelling.format(here=tmp_path)}\n"
    with pytest.raises(UserError, match=r"the file x/a\.svs, also written .*, stands in more than one row"):
        read_manifest(manifest(tmp_path, text))


@pytest.mark.parametrize(
    ("one", "two"),
    [("https://H.org/a.svs", "HTTPS://h.org/a.svs"), ("https://h.org/a%20b.svs", "https://h.org/a b.svs")],
)
def test_one_address_in_two_spellings(tmp_path, one, two):
    with pytest.raises(UserError, match="stands in more than one row"):
        read_manifest(manifest(tmp_path, f"slide_id,path\na,{one}\nb,{two}\n"))
    # the keys of a bucket are what they are
    assert len(read_manifest(manifest(tmp_path, "slide_id,path\na,s3://b/a%20b.svs\nb,s3://b/a b.svs\n"))) == 2


def test_images_of_one_file_are_slides_of_their_own(tmp_path):
    rows = read_manifest(manifest(tmp_path, "path\nx/a.ome.tiff#1\nx/a.ome.tiff#2\n"))
    assert [(row.slide_id, row.path) for row in rows] == [("a_1", "x/a.ome.tiff#1"), ("a_2", "x/a.ome.tiff#2")]
    with pytest.raises(UserError, match="stands in more than one row"):
        read_manifest(manifest(tmp_path, "slide_id,path\na,x/a.tif#1\nb,./x/a.tif#1\n"))
    with pytest.raises(UserError, match=r"line 2: .* names an image of a file by its number; fetch the file"):
        read_manifest(manifest(tmp_path, "slide_id,path\na,https://h.org/a.tif#2\n"))


def test_what_was_read_is_told_in_one_line(tmp_path):
    text = ",Slide ID,path,patient_id,mpp,grade\n0,a,x.svs,p,nan,1\n1,b,y.svs,p,0.5,NA\n2,c,z.svs,NA,,\n,,,,,\n"
    path = manifest(tmp_path, text)
    assert load_manifest(path).in_words() == (
        f"{path}: slides 3, patients 2; columns: slide_id, path, patient_id, mpp and 1 more (grade); missing values: "
        "patient_id 1 (NA), mpp 2 (nan), grade 2 (NA); left out: rows without a cell 1, columns without a name 1"
    )
    path = manifest(tmp_path, "wsi\na.svs\n")
    assert load_manifest(path).in_words() == f"{path}: slides 1, patients 1; columns: path (from wsi) and 1 more (wsi)"


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


def test_a_manifest_of_files_names_each_by_its_file_and_gives_all_one_scale(tmp_path):
    for name in ("a b.tif", "c.svs"):
        (tmp_path / name).write_bytes(b"")
    slides = [f"{tmp_path}/a b.tif", f"{tmp_path}/c.svs"]
    rows = write_manifest(tmp_path / "new/slides.csv", slides, 0.2501234)
    assert [(row.slide_id, row.path, row.mpp) for row in rows] == [
        ("a_b", slides[0], 0.2501234),
        ("c", slides[1], 0.2501234),
    ]
    assert write_manifest(tmp_path / "slides.csv", slides, None)[0].mpp is None


@pytest.mark.parametrize(
    ("slides", "told"), [(["gone.svs"], "gone.svs does not exist"), (["a.tif", "b/a.tif"], "slide_id a stands 2 times")]
)
def test_files_that_cannot_be_told_apart_or_found_are_no_manifest(tmp_path, monkeypatch, slides, told):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "b").mkdir()
    for name in ("a.tif", "b/a.tif"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(UserError, match=told):
        write_manifest(tmp_path / "slides.csv", slides, None)
