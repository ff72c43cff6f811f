"""Labels and splits of a task together, on a small planted cohort: levels, sites, external cohorts, refusals."""

import pytest

from workflow_scripts.config import Task
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.manifest import SlideRow
from workflow_scripts.core.task_splits import read_to_split, require_splits


def _cohort(**change):
    """24 slides of 12 patients at four sites, two classes in turn; `change` replaces columns by functions of i."""
    columns = {
        "grade": lambda i: "xy"[i // 2 % 2],
        "site": lambda i: "ABCD"[i // 6],
        "part": lambda i: ("train", "train", "val", "test")[i // 6],
        "days": lambda i: str(10 + i // 2),
        "dead": lambda i: str(i // 2 % 2),
    } | change
    return [
        SlideRow(f"s{i:02d}", "x.svs", f"p{i // 2:02d}", None, {name: of(i) for name, of in columns.items()})
        for i in range(24)
    ]


def _found(rows, usable=None, kind="classification", folds=3, few_shot=(), **task):
    task = {"label": "grade"} | task if kind == "classification" else {"time": "days", "event": "dead"} | task
    found = read_to_split(rows, Task(kind=kind, **task), "slides.csv", usable)
    require_splits(found, folds, few_shot, "slides.csv")
    return found


def _refusal(rows, *args, **more):
    with pytest.raises(UserError) as error:
        _found(rows, *args, **more)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_dealt_splits_keep_their_sites():
    found = _found(_cohort(site=lambda i: "ABCD"[i // 6] if i < 22 else "NA"), splits={"preserve": "site"})
    assert found.given is None
    assert found.sites == [f"{'ABCD'[i // 6]}" for i in range(22)]
    assert found.labels.excluded == {"not_usable": 0, "no_label": 0, "in_no_part": 2}


def test_slides_in_no_part_are_left_out_and_counted():
    found = _found(_cohort(part=lambda i: ("train", "", "val", "test")[i // 6]), splits={"kind": "column"})
    assert len(found.labels.slide_ids) == 18
    assert found.labels.excluded["in_no_part"] == 6


def test_classes_of_slides_in_no_part_are_no_classes():
    rows = _cohort(
        grade=lambda i: "z" if i < 2 else "xy"[i // 2 % 2],
        part=lambda i: "" if i < 2 else "train test".split()[i // 14],
    )
    assert _found(rows, splits={"kind": "column"}).labels.classes == ["x", "y"]


def test_unusable_slides_leave_the_given_splits():
    usable = [f"s{i:02d}" for i in range(1, 24)]
    found = _found(_cohort(), usable, splits={"kind": "leave_one_out", "column": "site"})
    assert all("s00" not in split.parts for split in found.given.splits)
    assert len(found.given.splits) == 4


def test_labels_by_slide_with_splits_by_patient():
    rows = _cohort(grade=lambda i: "xy"[i % 2])  # the two slides of each patient differ
    assert "patient p00 has two values in column grade" in _refusal(rows)
    found = _found(rows, level="slide")
    assert found.labels.counts() == {"x": 12, "y": 12}


def test_an_external_cohort_by_a_column():
    found = _found(_cohort(), splits={"kind": "external", "column": "site", "value": "C"})
    parts = found.given.splits[0].parts
    assert {slide for slide, part in parts.items() if part == "test"} == {f"s{i:02d}" for i in range(12, 18)}
    assert not any(leak.any for leak in found.leaks)


def test_a_patient_of_two_sites_leaks_where_one_is_left_out():
    rows = _cohort(site=lambda i: "B" if i == 0 else "ABCD"[i // 6])
    told = _refusal(rows, splits={"kind": "leave_one_out", "column": "site"})
    assert "1 patient is in train and test of split A (p00), and 2 of 4 splits leak so" in told
    found = _found(rows, splits={"kind": "leave_one_out", "column": "site", "leaks": "drop_from_test"})
    assert [len(leak.patients) for leak in found.leaks] == [1, 1, 0, 0]
    of_patient = [{name: split.parts.get(name) for name in ("s00", "s01")} for split in found.given.splits]
    learnt = {"s00": "train", "s01": "train"}  # one at site B, one at A: never tested, and by no two models
    assert of_patient == [learnt | {"s01": None}, learnt | {"s00": None}, learnt, learnt]
    assert "neither can be kept together" in _refusal(rows, splits={"preserve": "site"})


@pytest.mark.parametrize(
    ("change", "more", "words"),
    [
        ({}, {"folds": 7}, "column grade has 6 usable patients with class 'x', fewer than the 7 folds"),
        ({}, {"folds": 5, "splits": {"preserve": "site"}}, "has labelled slides of 4 sites, fewer than the 5 folds"),
        (
            {"grade": lambda i: "x" if i < 6 else "y"},
            {"splits": {"preserve": "site"}},
            "all patients of 'x' are at one site, 'A', so no fold can learn it and test it",
        ),
        (
            {},
            {"splits": {"preserve": "sites"}},
            "no column 'sites' that splits.preserve asks for (did you mean 'site'?)",
        ),
        ({}, {"few_shot": [1, 5]}, "5 patients of each class are asked for, and a training part has 4 of 'x'"),
        (
            {},
            {"few_shot": [4, 5], "splits": {"kind": "column"}},
            "5 patients of each class are asked for, and split part has 4 of 'y'",
        ),
        (
            {"grade": lambda i: "x" if i < 12 else "y"},
            {"splits": {"kind": "column"}},
            "the training part of split part has no labelled patient of 'y', so nothing can be learnt",
        ),
        (
            {"grade": lambda i: "xy"[i // 2 % 2] if i < 18 else ""},
            {"splits": {"kind": "column"}},
            "split part has no labelled slide left in test",
        ),
        ({"dead": lambda _: "0"}, {"kind": "survival"}, "column dead has 0 usable patients in the group 'event'"),
        ({"dead": lambda i: str(int(i < 2))}, {"kind": "survival"}, "has 1 usable patient in the group 'event'"),
        (
            {"dead": lambda i: str(int(i >= 18))},
            {"kind": "survival", "splits": {"kind": "column"}},
            "the training part of split part has no labelled patient of 'event'",
        ),
    ],
)
def test_what_leaves_nothing_to_learn_or_to_test(change, more, words):
    assert words in _refusal(_cohort(**change), **more)


def test_test_parts_of_one_class_each_are_refused_where_cases_are_ranked():
    one = {"part": lambda i: "test" if i // 2 in (0, 2, 4) else "train"}
    told = _refusal(_cohort(**one), splits={"kind": "column"})
    assert "each test part has patients of one class alone (x), so AUC cannot be told" in told
    rows = _cohort(site=lambda i: "AB"[i // 2 % 2] if i < 8 else "C")  # two of three sites have one class
    assert len(_found(rows, splits={"kind": "leave_one_out", "column": "site"}).given.splits) == 3
    _found(_cohort(**one, dead=lambda i: "1"), kind="survival", splits={"kind": "column"})
