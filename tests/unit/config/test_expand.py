"""A task of several labels is a task for each of them."""

import pytest

from workflow_scripts.config import load_config
from workflow_scripts.config.stages import BY_TASK
from workflow_scripts.core.errors import UserError

MUTATIONS = {"kind": "multilabel", "labels": ["TP53", "KRAS G12"], "classes": ["wild", "mutated"]}


def tasks_of(**tasks):
    return load_config({"benchmark": {"tasks": tasks}}).benchmark.tasks


def test_each_label_is_a_task_of_two_classes_in_one_family():
    tasks = tasks_of(mutation=MUTATIONS, grade={"kind": "ordinal", "label": "grade"}, dropped=None)
    assert list(tasks) == ["mutation-TP53", "mutation-KRAS_G12", "grade"]
    first, second, grade = tasks.values()
    assert (first.kind, first.label, first.family) == ("classification", "TP53", "mutation")
    assert (second.columns, second.classes, second.family) == (["KRAS G12"], ["wild", "mutated"], "mutation")
    assert grade.family is None


def test_the_stages_see_the_tasks_of_the_labels_alone():
    config = load_config({"benchmark": {"tasks": {"mutation": MUTATIONS}}})
    settings = BY_TASK["split_patients"](config, "mutation-TP53")["task"]
    assert (settings["kind"], settings["label"], settings["labels"]) == ("classification", "TP53", None)
    assert load_config(config.model_dump(mode="json")) == config


@pytest.mark.parametrize(
    ("task", "told"),
    [
        ({"kind": "multilabel"}, "m: kind multilabel needs the key labels, a list of columns"),
        ({"kind": "multilabel", "labels": "TP53"}, "m: kind multilabel needs the key labels, a list of columns"),
        ({"kind": "multilabel", "labels": ["a", "a"]}, "a is named twice"),
        ({"kind": "multilabel", "labels": ["a b", "a.b"]}, "m: two labels would give a task of the same name"),
        ({"kind": "multilabel", "labels": ["a"], "label": "b"}, "sets label itself; drop label"),
        ({"kind": "multilabel", "labels": ["a"], "heads": ["knn"]}, "unknown key benchmark.tasks.m-a.heads"),
        ({"kind": "ordinal", "label": "a", "labels": ["a"]}, "labels is a key of kind multilabel"),
        ({"kind": "several", "label": "a"}, "several is no kind of task; write one of .*, multilabel"),
    ],
)
def test_what_is_wrong_is_told(task, told):
    with pytest.raises(UserError, match=told):
        tasks_of(m=task)


def test_a_task_of_the_same_name_is_refused():
    with pytest.raises(UserError, match="there are two tasks mutation-TP53"):
        tasks_of(**{"mutation": MUTATIONS, "mutation-TP53": {"kind": "classification", "label": "x"}})
