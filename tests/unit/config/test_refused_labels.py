"""Labels and splits of tasks that cannot be used are refused in one sentence, before a slide is opened."""

import pytest

from tests.unit.config.refused import GOOD, cohort, refusal, with_files
from workflow_scripts.config import load_config, merge
from workflow_scripts.config.refusals import refuse


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A working directory with five slides' files."""
    monkeypatch.chdir(tmp_path)
    return with_files(tmp_path)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"subtype": "xxxxx"}, "benchmark.tasks.subtype: slides.csv: column subtype holds only one class, 'x'"),
        ({"subtype": "xxxxy"}, "column subtype has 1 patient with class 'y', fewer than the 2 folds"),
        ({"patient": "12224", "subtype": "xyyyx", "days": "56669", "dead": "11110"}, "has 1 patient with class 'y'"),
        ({"patient": "11345"}, "patient p1 has two values in column subtype, 'x' (slide a) and 'y' (slide b)"),
        ({"dead": "10000"}, "benchmark.tasks.os: slides.csv: column dead has 1 patient in the group 'event'"),
        ({"dead": "11210"}, "column dead of slide c is '2'; write 1 for an event and 0 for censoring"),
        ({"days": ("5", "6", "-7", "8", "9")}, "column days of slide c is '-7'; a time to event cannot be negative"),
        ({"days": ("5", "6", "soon", "8", "9")}, "column days of slide c is 'soon'; write a number"),
        ({"days": ("", "", "", "", "")}, "column days and dead is empty for all 5 slides"),
    ],
)
def test_labels_that_cannot_be_used(columns, words):
    assert words in refusal({}, cohort(**columns))


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ({"label": "subtyp"}, "benchmark.tasks.t: slides.csv has no column 'subtyp'"),
        ({"label": "subtyp"}, "(did you mean 'subtype'?); add it, name one of its label columns, subtype, days, dead,"),
        ({"label": "grade"}, "has no column 'grade' that the task asks for; add it"),  # of the demo
        ({"label": "subtype", "classes": ["x", "z"]}, "is 'y', which is none of the task's classes x, z"),
        ({"label": "subtype", "classes": ["x", "y", "z"]}, "has 0 patients with class 'z', fewer than the 2 folds"),
    ],
)
def test_tasks_that_do_not_fit_the_manifest(task, words):
    assert words in refusal({"benchmark": {"tasks": {"t": {"kind": "classification", **task}}}}, cohort())


@pytest.mark.parametrize(
    ("columns", "keys", "words"),
    [
        (
            {"site": "ABABA"},
            {"splits": {"preserve": "sit"}},
            "has no column 'sit' that splits.preserve asks for (did you",
        ),
        (
            {"site": "AAAAA"},
            {"splits": {"preserve": "site"}},
            "has labelled slides of 1 sites, fewer than",
        ),
        (
            {"site": "AABBB", "subtype": "xxyyy"},
            {"splits": {"preserve": "site"}},
            "all patients of 'x' are at one site, 'A'",
        ),
        ({"site": "AAAAA"}, {"splits": {"kind": "leave_one_out", "column": "site"}}, "names one site only, 'A'"),
        ({"part": "-----"}, {"splits": {"kind": "column"}}, "column part of slides.csv is empty for all slides"),
        ({"site": "ABABA"}, {"splits": {"kind": "external", "column": "site", "value": "C"}}, "has 'C' in column site"),
        ({}, {"splits": {"kind": "file", "file": "none.csv"}}, "splits.file: the file none.csv does not exist"),
        ({}, {"splits": {"kind": "file", "file": "no.parquet"}}, "no.parquet is not a readable Parquet file"),
        (
            {},
            {"splits": {"kind": "file", "file": "other.csv"}},
            "names no slide or patient of the manifest, its first are q",
        ),
        (
            {"patient": "11345", "subtype": "xxyxy"},
            {"splits": {"kind": "file", "file": "leak.csv"}},
            "1 patient is in train",
        ),
        ({}, {"splits": {"kind": "file", "file": "twice.csv"}}, "slide a is in train and test of repeat 0, fold 0"),
        ({}, {"splits": {"kind": "hipt", "folder": "none"}}, "splits.folder: none holds no splits_0.csv"),
        (
            {},
            {"few_shot": {"patients": [8]}},
            "8 patients of each class are asked for, and a training part has 1 of 'x'",
        ),
        ({}, {"table": "none.csv"}, "table: the file none.csv does not exist"),
        ({"subtype": "1?1?1"}, {"classes": ["1", "2"]}, "is '?', which is none of the task's classes 1, 2"),
        ({"subtype": ("1", "1.0", "2", "2", "1")}, {}, "holds '1' and '1.0', one number written in two ways"),
    ],
)
def test_splits_and_labels_that_cannot_be_had(folder, columns, keys, words):
    (folder / "no.parquet").write_text("no table")
    (folder / "other.csv").write_text("slide_id,part\nq,train\nr,test\n")
    (folder / "leak.csv").write_text("slide_id,part\na,train\nb,test\nc,train\nd,test\n")
    (folder / "twice.csv").write_text("slide_id,part\na,train\na,test\nb,train\n")
    told = refusal({"benchmark": {"tasks": {"subtype": keys, "os": None}}}, cohort(**columns))
    assert told.startswith("benchmark.tasks.subtype: ") and words in told


@pytest.mark.parametrize(
    ("columns", "keys", "words"),
    [
        (
            {"days": "01010", "dead": "56789"},
            {},
            "column days (time) holds only 0 and 1, column dead (event) other values",
        ),
        ({"dead": "00000"}, {}, "column dead has 0 patients in the group 'event', fewer than the 2 folds"),
        (
            {"patient": "11145", "subtype": "xxxyy", "days": "55589", "dead": "11100"},
            {},
            "has 1 patient in the group 'event'",
        ),
        ({"dead": "11012"}, {"event": None, "censored": "dead"}, "is '2'; write 1 for censoring and 0 for an event"),
        ({"censorship": "10101"}, {"event": "censorship"}, "write censored: censorship in place of event"),
    ],
)
def test_survival_that_cannot_be_used(columns, keys, words):
    told = refusal({"benchmark": {"tasks": {"subtype": None, "os": keys}}}, cohort(**columns))
    assert told.startswith("benchmark.tasks.os: ") and words in told


def test_a_manifest_without_labels_and_a_task():
    assert "has no column 'subtype' that the task asks for; add it or drop the task" in refusal(
        {}, [row._replace(labels={}) for row in cohort()]
    )


def test_patients_are_counted_and_not_slides():
    rows = cohort(patient="11233", subtype="xxyyy", days="55677", dead="11011")
    refuse(load_config(merge(GOOD, {"benchmark": {"tasks": {"subtype": None}}})), rows)
    assert "has 1 patient with class 'x'" in refusal({"benchmark": {"tasks": {"os": None}}}, rows)


ONE_VOTE = {"head_settings": {"knn": {"neighbours": 1}}}


def test_slides_that_a_file_of_splits_leaves_out_are_told_before_anything_runs(folder):
    lines = ["a,train", "b,train", "c,test", "d,test", "z,test"]
    (folder / "splits.csv").write_text("\n".join(["slide_id,part", *lines, ""]))
    splits = {"splits": {"kind": "file", "file": "splits.csv"}}
    tasks = {"subtype": splits, "os": None, "again": {**GOOD["benchmark"]["tasks"]["subtype"], **splits}}
    raw = merge(GOOD, {"benchmark": {"tasks": tasks, **ONE_VOTE}})
    assert refuse(load_config(raw), cohort(subtype="xyxyy")) == [
        "tasks subtype, again: the splits list 1 slides or patients that the manifest has not: z",
        "tasks subtype, again: the splits have no part for 1 of the 5 slides of the manifest, which are neither learnt "
        "from nor tested: e",
    ]
    assert refuse(load_config(merge(GOOD, {"benchmark": ONE_VOTE})), cohort()) == []


def test_slides_whose_cell_names_no_part_are_told(folder):
    raw = merge(GOOD, {"benchmark": {"tasks": {"subtype": {"splits": {"kind": "column"}}, "os": None}, **ONE_VOTE}})
    rows = cohort(subtype="xyxyy", part=("train", "train", "test", "test", "NA"))
    assert [note.split(": ")[-1] for note in refuse(load_config(raw), rows)] == ["e"]


@pytest.mark.parametrize(
    ("over", "learnt", "voting"),
    [
        ({}, 2, 1),  # two folds of five patients
        ({"folds": 2, "few_shot": {"patients": [1]}, "tasks": {"os": None}}, 2, 1),
        ({"train_fractions": [1.0, 0.1]}, 2, 1),  # one of each class
        ({"tasks": {"subtype": {"splits": {"kind": "column"}}}}, 2, 1),
    ],
)
def test_neighbours_that_are_more_than_can_vote_are_told(over, learnt, voting):
    raw = merge(GOOD, {"benchmark": {"head_settings": {"knn": {"neighbours": 3}}, "tasks": {"os": None}, **over}})
    (note,) = refuse(load_config(raw), cohort(subtype="xyxyy", part=("train", "train", "test", "test", "test")))
    assert note == (
        f"task subtype: benchmark.head_settings.knn.neighbours is 3, and a training part has as few as {learnt} "
        f"patients, of whom at most half vote: {voting}"
    )
