"""Tasks that stand for several: of kind `multilabel` a task of classes a label, and a control by permuted labels."""

import re
from typing import Any

from workflow_scripts.config.base import without_repeats

MULTILABEL = "multilabel"


def expand(tasks: dict[str, Any]) -> dict[str, Any]:
    """Tasks in which each of kind `multilabel` is replaced by a task of classes a label, all one family.

    Each task with `permutation_control` is followed by its control.

    Raises:
        ValueError: labels are missing or named twice, a key is given that the kind sets, or two tasks have one name.
    """
    found: dict[str, Any] = {}
    for name, task in tasks.items():
        several = isinstance(task, dict) and task.get("kind") == MULTILABEL
        for single, one in (_of_labels(name, task) if several else {name: task}).items():
            for new, entry in _with_control(single, one).items():
                if new in found:
                    raise ValueError(f"{name}: there are two tasks {new}; rename one of them")
                found[new] = entry
    return found


def _with_control(name: str, task: Any) -> dict[str, Any]:
    if not (isinstance(task, dict) and task.get("permutation_control") is True):
        return {name: task}
    control = {**task, "permutation_control": False, "permuted": True}
    if task.get("family"):
        control["family"] = f"{task['family']}-permuted"
    return {name: {**task, "permutation_control": False}, f"{name}-permuted": control}


def _of_labels(name: str, task: dict[str, Any]) -> dict[str, Any]:
    """The tasks `{name}-{label}` of a task of kind `multilabel`; in names, what is no letter or digit becomes _."""
    labels = task.get("labels")
    if not isinstance(labels, list) or not labels or not all(isinstance(label, str) for label in labels):
        raise ValueError(f"{name}: kind {MULTILABEL} needs the key labels, a list of columns of the manifest")
    given = sorted({"label", "family"} & set(task))
    if given:
        raise ValueError(f"{name}: kind {MULTILABEL} takes labels and sets {given[0]} itself; drop {given[0]}")
    rest = {key: value for key, value in task.items() if key not in ("kind", "labels")}
    names = [f"{name}-{re.sub('[^A-Za-z0-9_-]', '_', label)}" for label in without_repeats(labels)]
    if len(set(names)) < len(names):
        raise ValueError(f"{name}: two labels would give a task of the same name; rename a column")
    made = {"kind": "classification", "family": name}
    return {new: {**rest, **made, "label": label} for new, label in zip(names, labels, strict=True)}
