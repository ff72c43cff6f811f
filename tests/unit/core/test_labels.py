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
        ([_row("s0", "p", days="nan", dead="1")], SURVIVAL, ["days", "s0", "'nan'"]),
        ([_row("s0", "p", days="-3", dead="1")], SURVIVAL, ["days", "s0", "negative"]),
        ([_row("s0", "p", days="3", dead="2")], SURVIVAL, ["dead", "s0", "'2'"]),
        ([_row("s0", "p", days="3", dead="yes")], SURVIVAL, ["dead", "s0", "'yes'"]),
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
