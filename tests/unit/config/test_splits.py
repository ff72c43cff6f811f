"""Settings of splits and budgets: which keys belong to which kind, and what a task takes from the benchmark."""

import pytest

from workflow_scripts.config import load_config
from workflow_scripts.core.errors import UserError

TASK = {"kind": "classification", "label": "grade"}


def _task(**keys):
    return load_config({"benchmark": {"tasks": {"t": TASK | keys}}}).benchmark.tasks["t"]


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"splits": {"kind": "file"}}, "splits of kind file need the key file"),
        ({"splits": {"kind": "hipt"}}, "splits of kind hipt need the key folder"),
        ({"splits": {"kind": "leave_one_out"}}, "splits of kind leave_one_out need the key column"),
        (
            {"splits": {"kind": "leave_one_out", "column": "site", "leaks": "report"}},
            "leave_one_out with leaks: report would test a patient of two sites by two models; write drop_from_test",
        ),
        (
            {"splits": {"kind": "leave_one_out", "column": "site", "leaks": "drop_from_train"}},
            "leave_one_out with leaks: drop_from_train would test a patient of two sites by two models",
        ),
        ({"splits": {"kind": "external", "column": "cohort"}}, "column and value of external splits belong together"),
        ({"splits": {"column": "site"}}, "column is no key of splits of kind folds; drop it, or name another kind"),
        ({"splits": {"kind": "column", "folds": 5}}, "folds is no key of splits of kind column"),
        (
            {"splits": {"kind": "file", "file": "s.csv", "preserve": "site"}},
            "preserve is no key of splits of kind file",
        ),
        ({"splits": {"folds": 1}}, "splits.folds"),
        ({"splits": {"kinds": "file"}}, "unknown key benchmark.tasks.t.splits.kinds, did you mean kind?"),
        ({"splits": {"leaks": "ignore"}}, "splits.leaks"),
        (
            {"level": "patient", "splits": {"kind": "hipt", "folder": "f", "as_published": True}},
            "splits.as_published is by slide with leaks reported",
        ),
        ({"level": "slide", "slides_of_patient": "bag"}, "bag makes one bag of a patient, so level cannot be slide"),
        ({"train_fractions": [0.5, 0.25]}, "1.0 is not among the train_fractions; add it"),
        ({"train_fractions": [1.0, 1.5]}, "train_fractions"),
        ({"few_shot": {"patients": [0]}}, "few_shot.patients"),
        (
            {"kind": "survival", "label": None, "time": "a", "event": "b", "censored": "c"},
            "event and censored are both given",
        ),
        ({"kind": "survival", "label": None, "time": "a"}, "a task of kind survival needs the key event"),
        (
            {"kind": "survival", "label": None, "time": "a", "event": "b", "few_shot": {"patients": [4]}},
            "few_shot counts patients of a class, and survival has none",
        ),
    ],
)
def test_keys_that_do_not_go_together(keys, words):
    with pytest.raises(UserError) as error:
        _task(**keys)
    assert words in str(error.value) and "\n" not in str(error.value)


def test_an_external_task_names_its_cohort():
    with pytest.raises(UserError, match="which names no file; set it, or give the splits column and value"):
        _task(splits={"kind": "external"})
    benchmark = {"tasks": {"t": TASK | {"splits": {"kind": "external"}}}}
    config = load_config({"cohort": {"test_manifest": "theirs.csv"}, "benchmark": benchmark})
    assert config.benchmark.tasks["t"].splits.test_manifest
    by_column = {"kind": "external", "column": "cohort", "value": "theirs"}
    assert not _task(splits=by_column).splits.test_manifest


def test_published_splits_are_by_slide_with_their_leaks():
    task = _task(splits={"kind": "hipt", "folder": "f", "as_published": True})
    assert (task.level, task.splits.leaks, task.published) == ("slide", "report", "f")
    task = _task(splits={"kind": "hipt", "folder": "f"})
    assert (task.level, task.splits.leaks) == ("patient", "refuse")


def test_censoring_stands_in_the_place_of_an_event():
    task = _task(kind="survival", label=None, time="a", censored="c")
    assert task.columns == ["a", "c"]
    assert [read("1") for read in task.readers] == [1.0, False]
    task = _task(kind="survival", label=None, time="a", event="e")
    assert task.columns == ["a", "e"]
    assert [read("1") for read in task.readers] == [1.0, True]


def test_a_task_takes_from_the_benchmark_what_it_does_not_say():
    tasks = {
        "plain": TASK,
        "own": TASK
        | {"splits": {"folds": 3, "repeats": 2}, "train_fractions": [0.25, 1.0], "few_shot": {"patients": [8, 2, 2]}},
        "none": TASK | {"few_shot": {"patients": []}},
        "os": {"kind": "survival", "label": None, "time": "a", "event": "e"},
    }
    shots = {"patients": [4, 1], "draws": 6}
    benchmark = load_config({"benchmark": {"tasks": tasks, "folds": 4, "repeats": 7, "few_shot": shots}}).benchmark
    names = ("folds", "repeats", "train_fractions", "few_shot", "draws")
    found = {task: [benchmark.dealing(task)[name] for name in names] for task in tasks}
    assert found == {
        "plain": [4, 7, [1.0], [1, 4], 6],
        "own": [3, 2, [1.0, 0.25], [2, 8], 6],
        "none": [4, 7, [1.0], [], 6],
        "os": [4, 7, [1.0], [], 6],  # it has no classes
    }
    assert load_config({"benchmark": {"tasks": {"plain": TASK}}}).benchmark.dealing("plain")["repeats"] == 10


def test_several_labels_at_once_share_their_table_splits_and_budgets():
    task = {
        "kind": "multilabel",
        "labels": ["TP53", "PIK3CA"],
        "table": "mutations.csv",
        "splits": {"kind": "column"},
        "few_shot": {"patients": [2]},
    }
    benchmark = load_config({"benchmark": {"tasks": {"t": task}}}).benchmark
    for name in ("t-TP53", "t-PIK3CA"):
        one = benchmark.tasks[name]
        assert (one.table, one.splits.kind, benchmark.dealing(name)["few_shot"]) == ("mutations.csv", "column", [2])
