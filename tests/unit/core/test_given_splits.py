"""Splits from files and columns: what each source becomes, and what is refused."""

from collections import Counter

import pytest

from workflow_scripts.config.splits import Splits
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.given_splits import read_given
from workflow_scripts.core.manifest import SlideRow


def _rows(**columns):
    """Slides a, b, c ... of patients p0, p0, p1, p1 ...; a column's letters are its cells."""
    cells = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)] or [{}] * 6
    return [SlideRow("abcdef"[i], "x.svs", f"p{i // 2}", None, row) for i, row in enumerate(cells)]


def _read(rows, **splits):
    return read_given(rows, Splits(**splits), "slides.csv")


def _refusal(rows, **splits):
    with pytest.raises(UserError) as error:
        _read(rows, **splits)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_dealt_splits_are_not_given():
    assert _read(_rows()) is None


def test_a_column_of_parts_is_one_split():
    words = ("Train", "training", "valid", "", "test", "NA")
    given = _read(_rows(part=words), kind="column")
    assert given.design == "held_out"
    assert [(split.repeat, split.fold, split.parts) for split in given.splits] == [
        (0, 0, {"a": "train", "b": "train", "c": "val", "e": "test"})
    ]
    assert given.slides() == set("abce")
    assert _read(_rows(set=words), kind="column", column="set").splits[0].parts == given.splits[0].parts


def test_each_site_is_left_out_once():
    given = _read(_rows(site=("x", "x", "y", "y", "z", "unknown")), kind="leave_one_out", column="site")
    assert given.design == "folds"
    assert [(split.fold, split.name) for split in given.splits] == [(0, "x"), (1, "y"), (2, "z")]
    assert given.splits[1].parts == {"a": "train", "b": "train", "c": "test", "d": "test", "e": "train"}


def test_an_external_cohort_is_tested_by_what_all_others_teach():
    rows = _rows(cohort=("A", "A", "B", "B", "C", "-"))
    given = _read(rows, kind="external", column="cohort", value="B")
    assert given.design == "held_out"
    assert given.splits[0].parts == {"a": "train", "b": "train", "c": "test", "d": "test", "e": "train"}


LONG = """slide_id,repeat,fold,part
a.svs,0,0,train
b,0,0,train
c,0,0,test
c,0,0,test
d,0,0,
a,0,1,test
c,0,1,train
zz,0,1,train
"""


def test_a_file_of_slides_in_long_form(tmp_path):
    (tmp_path / "s.csv").write_text(LONG)
    given = _read(_rows(), kind="file", file=str(tmp_path / "s.csv"))
    assert (given.design, given.unknown) == ("folds", ["zz"])
    assert [(split.repeat, split.fold, split.parts) for split in given.splits] == [
        (0, 0, {"a": "train", "b": "train", "c": "test"}),
        (0, 1, {"a": "test", "c": "train"}),
    ]


def test_a_file_of_patients_puts_all_their_slides(tmp_path):
    (tmp_path / "s.csv").write_text("patient_id,part\np0,train\np1,test\np9,test\n")
    given = _read(_rows(), kind="file", file=str(tmp_path / "s.csv"))
    assert given.splits[0].parts == {"a": "train", "b": "train", "c": "test", "d": "test"}
    assert (given.design, given.unknown) == ("held_out", ["p9"])


def test_patho_benchs_table_has_a_column_a_fold(tmp_path):
    lines = ["p0\ta\t1\ttest\ttrain\ttrain", "p1\tc\t0\ttrain\ttest\ttrain", "p2\te\t1\ttrain\ttrain\ttest"]
    (tmp_path / "k=all.tsv").write_text("\n".join(["case_id\tslide_id\tgrade\tfold_0\tfold_1\tfold_2", *lines]))
    given = _read(_rows(), kind="file", file=str(tmp_path / "k=all.tsv"))
    assert given.design == "folds"
    assert [split.fold for split in given.splits] == [0, 1, 2]
    assert [[name for name, part in split.parts.items() if part == "test"] for split in given.splits] == [
        *(["a"], ["c"], ["e"])
    ]


def test_folds_whose_tests_share_a_patient_are_draws(tmp_path):
    """a and b are slides of one patient: tested by two models, which no number may average."""
    lines = ["a\ttest\ttrain", "b\ttrain\ttest", "c\ttrain\ttrain"]
    (tmp_path / "s.tsv").write_text("\n".join(["slide_id\tfold_0\tfold_1", *lines]))
    given = _read(_rows(), kind="file", file=str(tmp_path / "s.tsv"))
    assert given.design == "draws"
    assert [(split.repeat, split.fold) for split in given.splits] == [(0, 0), (1, 0)]


def test_repeats_of_folds_stay_folds(tmp_path):
    lines = [
        f"{name},{repeat},{fold},{'test' if (index + repeat) % 2 == fold else 'train'}"
        for repeat in range(2)
        for fold in range(2)
        for index, name in enumerate("ace")
    ]
    (tmp_path / "s.csv").write_text("\n".join(["slide_id,repeat,fold,part", *lines]))
    given = _read(_rows(), kind="file", file=str(tmp_path / "s.csv"))
    assert given.design == "folds"
    tested = Counter((split.repeat, s) for split in given.splits for s, part in split.parts.items() if part == "test")
    assert set(tested.values()) == {1} and len(tested) == 6


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (LONG + "c,0,0,train\n", "slide c is in test and train of repeat 0, fold 0; keep one of the two"),
        (LONG + "e,0,1,tests\n", "line 10: part is 'tests'; write train, val or test"),
        (LONG + "e,0,one,test\n", "line 10 has 'one' in column fold; write a whole number from 0"),
        ("slide,part\na,train\n", "has no column slide_id, patient_id or case_id, only slide, part"),
        ("slide_id,set\na,train\n", "has neither a column part nor columns fold_0, fold_1, ..., only slide_id, set"),
        ("slide_id,part\nx,train\ny,test\n", "names no slide or patient of the manifest, its first are x, y"),
        ("slide_id,part\na,\nb,NA\n", "or it puts none in a part"),
        ("slide_id,part\na,train\nx,test\n", "has no slide of the manifest in test"),
        ("slide_id,part\nx,train\na,test\n", "has no slide of the manifest in train"),
    ],
)
def test_files_that_cannot_be_used(tmp_path, text, words):
    (tmp_path / "s.csv").write_text(text)
    assert words in _refusal(_rows(), kind="file", file=str(tmp_path / "s.csv"))


def test_a_file_that_is_not_there():
    assert "splits.file: the file nowhere.csv does not exist" in _refusal(_rows(), kind="file", file="nowhere.csv")


@pytest.mark.parametrize(
    ("columns", "splits", "words"),
    [
        ({"site": "xxxxxx"}, {"kind": "leave_one_out", "column": "site"}, "names one site only, 'x'"),
        (
            {"site": "xxxxxx"},
            {"kind": "leave_one_out", "column": "Site"},
            "section splits asks for (did you mean 'site'?)",
        ),
        ({"part": "------"}, {"kind": "column"}, "column part of slides.csv is empty for all slides"),
        ({"part": "abcdef"}, {"kind": "column"}, "column part of slide a is 'a'; write train, val or test"),
        (
            {"cohort": "AABBBB"},
            {"kind": "external", "column": "cohort", "value": "C"},
            "no slide of slides.csv has 'C' in column cohort, only 'A', 'B'",
        ),
        (
            {"cohort": "BBBBBB"},
            {"kind": "external", "column": "cohort", "value": "B"},
            "split B of slides.csv has no slide of the manifest in train",
        ),
    ],
)
def test_columns_that_cannot_be_used(columns, splits, words):
    assert words in _refusal(_rows(**columns), **splits)
