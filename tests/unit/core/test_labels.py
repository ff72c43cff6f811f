"""Labels of a task, and every message a user may meet on the way."""

import pytest

from workflow_scripts.config import Task
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.labels import read_labels, require_patients
from workflow_scripts.core.manifest import SlideRow

SUBTYPE = Task(kind="classification", label="subtype")
SURVIVAL = Task(kind="survival", time="days", event="dead")


def _row(slide, patient, **labels):
    return SlideRow(slide, f"{slide}.svs", patient, None, labels)


def _rows(*values, column="subtype"):
    return [_row(f"s{i}", f"p{i}", **{column: value}) for i, value in enumerate(values)]


def _labels(rows, task=SUBTYPE, usable=None):
    return read_labels(rows, task, "slides.csv", usable)


def test_classes_are_sorted_and_indices_follow():
    labels = _labels(_rows("luad", "acc", "luad"))
    assert labels.classes == ["acc", "luad"]
    assert labels.values == ["luad", "acc", "luad"]
    assert labels.strata() == [1, 0, 1]
    assert labels.counts() == {"acc": 1, "luad": 2}


def test_given_classes_keep_their_order():
    task = Task(kind="ordinal", label="subtype", classes=["low", "mid", "high"])
    assert _labels(_rows("high", "low", "mid"), task).strata() == [2, 0, 1]


def test_slides_left_out_are_counted_by_reason():
    labels = _labels(_rows("a", "", "b", "a", ""), usable=["s0", "s1", "s2"])
    assert labels.slide_ids == ["s0", "s2"]
    assert labels.excluded == {"not_usable": 2, "no_label": 1}


def test_class_of_unusable_slides_alone_is_no_class():
    assert _labels(_rows("a", "b", "c"), usable=["s0", "s2"]).classes == ["a", "c"]


def test_counts_are_of_patients_not_slides():
    rows = [_row("s0", "p", subtype="a"), _row("s1", "p", subtype="a"), _row("s2", "q", subtype="b")]
    assert _labels(rows).counts() == {"a": 1, "b": 1}


def test_survival_reads_time_and_event():
    rows = [_row("s0", "p0", days="12.5", dead="1"), _row("s1", "p1", days="30", dead="0")]
    labels = _labels(rows, SURVIVAL)
    assert labels.values == [(12.5, True), (30.0, False)]
    assert labels.classes == []
    assert labels.strata() == [1, 0]
    assert labels.counts() == {"censored": 1, "event": 1}


def test_survival_values_of_a_patient_agree_as_numbers():
    rows = [_row("s0", "p", days="12.0", dead="1"), _row("s1", "p", days="12", dead="1.0")]
    assert _labels(rows, SURVIVAL).values == [(12.0, True)] * 2


def test_values_that_are_missing_are_counted_by_their_text():
    labels = _labels(_rows("a", "NA", "b", "nan", "", "NA", "unknown", "-"))
    assert labels.slide_ids == ["s0", "s2"]
    assert labels.excluded["no_label"] == 6
    assert labels.missing == {"": 1, "-": 1, "NA": 2, "nan": 1, "unknown": 1}


def test_a_name_among_the_classes_is_no_missing_value():
    task = Task(kind="classification", label="subtype", classes=["none", "some"])
    labels = _labels(_rows("none", "some", "NA"), task)
    assert labels.values == ["none", "some"]
    assert labels.missing == {"NA": 1}


def test_times_that_are_missing_are_missing_labels():
    rows = [_row("s0", "p0", days="NaN", dead="1"), _row("s1", "p1", days="3", dead="N/A")]
    rows.append(_row("s2", "p2", days="4", dead="1"))
    assert _labels(rows, SURVIVAL).slide_ids == ["s2"]


def test_classes_are_text():
    assert _labels(_rows("0", "1", "01", "10", "2")).classes == ["0", "01", "1", "2", "10"]
    with pytest.raises(UserError, match=r"column subtype holds '1' and '1\.0', one number written in two ways"):
        _labels(_rows("0", "1", "1.0"))
    with pytest.raises(UserError, match="'100' and '1e2'"):
        _labels(_rows("0", "1e2", "100"))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            ["LUAD", "luad", "LUSC"],
            "column subtype holds 'LUAD' and 'luad', which look alike; write it in one way, or name",
        ),
        (["high grade", "high\N{NO-BREAK SPACE}grade", "low"], "'high grade' and 'high\\xa0grade', which look alike"),
        (["1", "1.0", "0", "0.0"], "'0' and '0.0', one number written in two ways"),
        (["a", "A", "\N{ZERO WIDTH SPACE}a", "b"], "'A' and 'a' and 1 more like them"),
    ],
)
def test_names_that_look_alike_are_refused_unless_classes_name_them(values, words):
    with pytest.raises(UserError) as error:
        _labels(_rows(*values))
    assert words in str(error.value)
    task = Task(kind="classification", label="subtype", classes=sorted(set(values)))
    assert _labels(_rows(*values), task).values == values
    some = sorted(set(values) - {values[1]})
    task = Task(kind="classification", label="subtype", classes=some, other_classes="leave_out")
    with pytest.raises(UserError, match="name all of them under classes"):
        _labels(_rows(*values), task)


def test_what_looks_like_a_missing_value_is_told_and_can_be_named_one():
    rows = _rows("a", "?", "b", "?", "[Discrepancy]", "[Not Available]")
    labels = _labels(rows)
    assert labels.classes == ["?", "[Discrepancy]", "a", "b"] and labels.missing == {"[Not Available]": 1}
    (doubt,) = labels.doubts
    assert "column subtype holds what looks like a missing value" in doubt and "'?' (2), '[Discrepancy]' (1)" in doubt
    task = Task(kind="classification", label="subtype", missing=["?", "[discrepancy]"])
    labels = _labels(rows, task)
    assert labels.classes == ["a", "b"] and labels.missing == {"?": 2, "[Discrepancy]": 1, "[Not Available]": 1}
    assert labels.doubts == []
    task = Task(kind="classification", label="subtype", classes=[*labels.classes, "?", "[Discrepancy]"])
    assert _labels(rows, task).doubts == []


def test_a_number_that_stands_for_a_missing_one_is_told():
    task = Task(kind="regression", label="age", missing=["-9"])
    rows = _rows("61", "-999", "47,5", "-9", column="age")
    labels = _labels(rows, task)
    assert labels.values == [61.0, -999.0, 47.5]
    assert "'-999' (1)" in labels.doubts[0]


@pytest.mark.parametrize(
    ("grades", "order"),
    [
        (["10", "6", "7"], ["6", "7", "10"]),
        (["2", "-1", "10"], ["-1", "2", "10"]),
        (["3,5", "10", "3"], ["3", "3,5", "10"]),
    ],
)
def test_grades_without_classes_are_in_the_order_of_their_numbers(grades, order):
    labels = _labels(_rows(*grades), Task(kind="ordinal", label="subtype"))
    assert labels.classes == order
    assert labels.strata() == [order.index(grade) for grade in grades]


@pytest.mark.parametrize("grades", [["low", "high"], ["1+", "2+"], ["I", "II"], ["\N{SUPERSCRIPT TWO}", "3"]])
def test_grades_that_are_no_numbers_need_their_order(grades):
    with pytest.raises(UserError, match="holds grades that are no numbers"):
        _labels(_rows(*grades), Task(kind="ordinal", label="subtype"))


def test_other_classes_are_left_out_and_counted():
    task = Task(kind="classification", label="subtype", classes=["a", "b"], other_classes="leave_out")
    labels = _labels(_rows("a", "x", "b", "y", "x", ""), task, usable=["s0", "s1", "s2", "s3", "s5"])
    assert labels.slide_ids == ["s0", "s2"]
    assert labels.excluded == {"not_usable": 1, "no_label": 1, "other_class": 2}


def test_other_classes_are_told_with_their_numbers():
    task = Task(kind="classification", label="subtype", classes=["a", "b"])
    with pytest.raises(UserError, match=r"set other_classes: leave_out to leave such slides out: x \(2\), y \(1\)"):
        _labels(_rows("a", "x", "b", "y", "x"), task)


def test_censoring_is_the_reverse_of_an_event():
    task = Task(kind="survival", time="days", censored="censorship")
    rows = [_row("s0", "p0", days="12", censorship="1"), _row("s1", "p1", days="30", censorship="0.0")]
    assert _labels(rows, task).values == [(12.0, False), (30.0, True)]
    with pytest.raises(
        UserError, match="column censorship of slide s0 is '2'; write 1 for censoring and 0 for an event"
    ):
        _labels([_row("s0", "p0", days="12", censorship="2")], task)


def test_censoring_that_is_named_as_event_is_refused():
    task = Task(kind="survival", time="days", event="censorship")
    with pytest.raises(UserError, match="write censored: censorship in place of event"):
        _labels([_row("s0", "p0", days="12", censorship="1")], task)


def test_time_and_event_that_are_exchanged_are_refused():
    rows = [_row(f"s{i}", f"p{i}", days=str(i % 2), dead=str(10 + i)) for i in range(4)]
    with pytest.raises(UserError, match=r"column days \(time\) holds only 0 and 1, column dead \(event\) other values"):
        _labels(rows, SURVIVAL)


def test_slides_of_a_patient_may_differ_where_labels_are_by_slide():
    task = Task(kind="classification", label="subtype", level="slide")
    rows = [_row("s0", "p", subtype="a"), _row("s1", "p", subtype="b"), _row("s2", "q", subtype="b")]
    labels = _labels(rows, task)
    assert (labels.level, labels.values) == ("slide", ["a", "b", "b"])
    assert labels.strata() == [0, 1, 1]
    assert labels.counts() == {"a": 1, "b": 2}  # p counts in both


def test_what_a_bag_is_comes_with_the_labels():
    assert _labels(_rows("a", "b")).slides_of_patient == "average"
    task = Task(kind="classification", label="subtype", slides_of_patient="bag")
    assert _labels(_rows("a", "b"), task).slides_of_patient == "bag"


@pytest.mark.parametrize(
    ("header", "lines"),
    [("slide_id,subtype", ["s0.svs,a", "s1.svs,b", "s9.svs,b"]), ("case_id,subtype", ["p0,a", "p1,b", "p1,b", "p9,a"])],
)
def test_labels_of_a_table_beside_the_manifest(tmp_path, header, lines):
    path = tmp_path / "labels.csv"
    path.write_text("\n".join([header, *lines]) + "\n")
    task = Task(kind="classification", label="subtype", table=str(path))
    labels = _labels(_rows("b", "b", "b"), task)  # the manifest has a column of that name
    assert labels.values == ["a", "b"]
    assert labels.excluded["no_label"] == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("slide,subtype\ns0,a\n", "has no column slide_id, patient_id or case_id, only slide, subtype"),
        ("slide_id,subtyp\ns0,a\n", "has no column 'subtype' that the task asks for (did you mean 'subtyp'?)"),
        (
            "slide_id,subtype\nx0,a\nx1,b\n",
            "names no slide of the manifest, its first are x0, x1, the manifest's s0, s1",
        ),
        ("patient_id,subtype\nx0,a\n", "names no patient of the manifest"),
        ("slide_id,subtype\ns0,a\ns0.svs,b\n", "has two rows of slide_id s0.svs with different values"),
    ],
)
def test_tables_that_do_not_fit(tmp_path, text, words):
    path = tmp_path / "labels.csv"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        _labels(_rows("a", "b"), Task(kind="classification", label="subtype", table=str(path)))
    assert words in str(error.value) and str(path) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("rows", "task", "words"),
    [
        (_rows("a", "b", column="grade"), SUBTYPE, ["subtype", "grade", "slides.csv"]),
        (_rows("a", "b", column="subtyp"), SUBTYPE, ["no column 'subtype'", "did you mean 'subtyp'?"]),
        (_rows("a", "b", column="SUBTYPE"), SUBTYPE, ["no column 'subtype'", "did you mean 'SUBTYPE'?"]),
        (_rows("a", "a"), SUBTYPE, ["only one class", "'a'", "subtype"]),
        (_rows("", ""), SUBTYPE, ["empty for all 2", "subtype"]),
        (
            [_row("s0", "p", subtype="a"), _row("s1", "p", subtype="b")],
            SUBTYPE,
            ["patient p", "'a'", "s0", "'b'", "s1", "subtype"],
        ),
        (
            _rows("a", "x", "b"),
            Task(kind="classification", label="subtype", classes=["a", "b"]),
            ["'x'", "s1", "a, b", "subtype"],
        ),
        (
            _rows("a", "b"),
            Task(kind="classification", label="subtype", classes=["a", "a", "b"]),
            ["'a' 2 times"],
        ),
        ([_row("s0", "p", days="soon", dead="1")], SURVIVAL, ["days", "s0", "'soon'"]),
        ([_row("s0", "p", days="inf", dead="1")], SURVIVAL, ["days", "s0", "'inf'"]),
        ([_row("s0", "p", days="-3", dead="1")], SURVIVAL, ["days", "s0", "negative"]),
        ([_row("s0", "p", days="3", dead="2")], SURVIVAL, ["dead", "s0", "'2'"]),
        ([_row("s0", "p", days="3", dead="maybe")], SURVIVAL, ["dead", "s0", "'maybe'"]),
        (
            [_row("s0", "p", days="3", dead="1"), _row("s1", "p", days="4", dead="1")],
            SURVIVAL,
            ["patient p", "days", "s0", "s1"],
        ),
        (  # the time is written in two ways, the event differs
            [_row("s0", "p", days="3", dead="1"), _row("s1", "p", days="3.0", dead="0")],
            SURVIVAL,
            ["patient p", "column dead", "'1'", "'0'"],
        ),
    ],
)
def test_wrong_labels_are_told_in_one_sentence(rows, task, words):
    with pytest.raises(UserError) as error:
        _labels(rows, task)
    assert all(word in str(error.value) for word in ["slides.csv", *words]), str(error.value)
    assert "\n" not in str(error.value)


def test_too_few_patients_for_the_folds():
    labels = _labels(_rows("a", "a", "a", "b", "b"))
    require_patients(labels, 2, "slides.csv")
    with pytest.raises(UserError, match=r"slides\.csv: column subtype has 2 usable patients with class 'b'.*3 folds"):
        require_patients(labels, 3, "slides.csv")


def test_too_few_events_for_the_folds():
    rows = [_row(f"s{i}", f"p{i}", days="5", dead="1" if i < 2 else "0") for i in range(9)]
    with pytest.raises(UserError, match="column dead has 2 usable patients in the group 'event'"):
        require_patients(_labels(rows, SURVIVAL), 3, "slides.csv")


def test_given_class_without_patients_is_refused_by_the_folds():
    task = Task(kind="ordinal", label="subtype", classes=["a", "b", "c"])
    with pytest.raises(UserError, match="0 usable patients with class 'c'"):
        require_patients(_labels(_rows("a", "b", "a", "b"), task), 2, "slides.csv")
