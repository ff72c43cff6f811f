"""Labels of a task, read from the manifest's rows. The unit is the patient: its slides must agree."""

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np

from workflow_scripts.config import Task
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.manifest import SlideRow


@dataclass(frozen=True)
class TaskLabels:
    """Labels of the S slides that are usable and labelled, in manifest order.

    Attributes:
        slide_ids: S slide ids.
        patient_ids: S patient ids.
        classes: class names in order; empty for survival.
        label: int64 `[S]`, index into `classes`; -1 for survival.
        time: float64 `[S]`, time to event or censoring in the manifest's unit; NaN unless survival.
        event: bool `[S]`, True for an event, False for censoring; False unless survival.
        excluded: how many slides were left out, by reason (`not_usable`, `no_label`).
    """

    slide_ids: list[str]
    patient_ids: list[str]
    classes: list[str]
    label: np.ndarray
    time: np.ndarray
    event: np.ndarray
    excluded: dict[str, int]

    @property
    def strata(self) -> np.ndarray:
        """int64 `[S]`: what folds are stratified by, the class, or the event for survival."""
        return self.label if self.classes else self.event.astype(np.int64)

    def counts(self) -> dict[str, int]:
        """Patients of each class, or with and without an event."""
        names = self.classes or ["censored", "event"]
        of_patient = dict(zip(self.patient_ids, self.strata.tolist(), strict=True))
        tally = Counter(of_patient.values())
        return {name: tally[index] for index, name in enumerate(names)}


def task_columns(task: Task) -> list[str]:
    """Columns of the manifest that a task reads."""
    names = (task.time, task.event) if task.kind == "survival" else (task.label,)
    return [name for name in names if name is not None]


def _require_columns(rows: list[SlideRow], columns: list[str], manifest: str) -> None:
    present = list(rows[0].labels) if rows else []
    for column in columns:
        if column not in present:
            offer = f"one of its label columns, {', '.join(present)}" if present else "it has no label column yet"
            raise UserError(f"{manifest} has no column {column!r} that the task asks for; add it, or name {offer}")


def _require_agreement(rows: list[SlideRow], columns: list[str], numeric: bool, manifest: str) -> None:
    first: dict[str, SlideRow] = {}
    for row in rows:
        known = first.setdefault(row.patient_id, row)
        for column in columns:
            one, two = known.labels[column], row.labels[column]
            if one != two and not (numeric and float(one) == float(two)):
                raise UserError(
                    f"{manifest}: patient {row.patient_id} has two values in column {column}, {one!r} (slide "
                    f"{known.slide_id}) and {two!r} (slide {row.slide_id}); labels are per patient, so make them equal "
                    "or empty one"
                )


def _class_names(rows: list[SlideRow], task: Task, manifest: str) -> list[str]:
    values = sorted({row.labels[task.label] for row in rows})
    if task.classes is None:
        return values
    for name, count in Counter(task.classes).items():
        if count > 1:
            raise UserError(f"classes names {name!r} {count} times for column {task.label} of {manifest}; name it once")
    for row in rows:
        if row.labels[task.label] not in task.classes:
            raise UserError(
                f"{manifest}: column {task.label} of slide {row.slide_id} is {row.labels[task.label]!r}, which is "
                f"none of the task's classes {', '.join(task.classes)}; correct it, empty it, or add it to classes"
            )
    return list(task.classes)


def _number(row: SlideRow, column: str, manifest: str) -> float:
    try:
        value = float(row.labels[column])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UserError(
            f"{manifest}: column {column} of slide {row.slide_id} is {row.labels[column]!r}; "
            "write a number, or leave it empty"
        )
    return value


def _survival(row: SlideRow, task: Task, manifest: str) -> tuple[float, bool]:
    time, event = _number(row, task.time, manifest), _number(row, task.event, manifest)
    if time < 0:
        raise UserError(
            f"{manifest}: column {task.time} of slide {row.slide_id} is {row.labels[task.time]!r}; "
            "a time to event cannot be negative, so correct it or leave it empty"
        )
    if event not in (0.0, 1.0):
        raise UserError(
            f"{manifest}: column {task.event} of slide {row.slide_id} is {row.labels[task.event]!r}; "
            "write 1 for an event and 0 for censoring, or leave it empty"
        )
    return time, event == 1.0


def task_labels(rows: list[SlideRow], usable: list[str], task: Task, manifest: str) -> TaskLabels:
    """Labels of a task for the usable slides that have one.

    The whole column is validated, also where a slide is not usable, so that an error does not come and go
    with the state of a slide.

    Args:
        rows: the manifest's rows.
        usable: slide ids with status ok.
        task: kind and columns.
        manifest: the manifest's path, for messages.

    Raises:
        UserError: a column is not there, a value is wrong, a patient has two values, or no labelled slide or
            only one class is left.
    """
    columns = task_columns(task)
    _require_columns(rows, columns, manifest)
    labelled = [row for row in rows if all(row.labels[column] for column in columns)]
    survival = task.kind == "survival"
    outcomes = {row.slide_id: _survival(row, task, manifest) for row in labelled} if survival else {}
    classes = [] if survival else _class_names(labelled, task, manifest)
    _require_agreement(labelled, columns, survival, manifest)
    wanted = set(usable)
    kept = [row for row in labelled if row.slide_id in wanted]
    no_label = sum(row.slide_id in wanted for row in rows) - len(kept)
    where = f"{manifest}: column {' and '.join(columns)}"
    if not kept:
        raise UserError(f"{where} is empty for all {no_label} usable slides; fill it in, or drop the task")
    if not survival and task.classes is None:  # classes that only unusable slides had
        present = {row.labels[task.label] for row in kept}
        classes = [name for name in classes if name in present]
    found = sorted({row.labels[columns[-1]] for row in kept}) if not survival else []
    if len(found) == 1:
        raise UserError(
            f"{where} holds only one class, {found[0]!r}, over {len(kept)} usable slides; "
            "label slides of a second class"
        )
    index = {name: position for position, name in enumerate(classes)}
    return TaskLabels(
        slide_ids=[row.slide_id for row in kept],
        patient_ids=[row.patient_id for row in kept],
        classes=classes,
        label=np.array([-1 if survival else index[row.labels[task.label]] for row in kept], dtype=np.int64),
        time=np.array([outcomes[row.slide_id][0] if survival else math.nan for row in kept]),
        event=np.array([survival and outcomes[row.slide_id][1] for row in kept], dtype=bool),
        excluded={"not_usable": sum(row.slide_id not in wanted for row in rows), "no_label": no_label},
    )


def require_patients(labels: TaskLabels, folds: int, task: Task, manifest: str) -> None:
    """Refuse a task that has too few patients for its folds.

    Raises:
        UserError: a class (survival: the patients with an event) has fewer patients than folds.
    """
    column = task.event if task.kind == "survival" else task.label
    counts = labels.counts()
    if task.kind == "survival":
        counts = {"event": counts["event"]}
    name, count = min(counts.items(), key=lambda item: item[1])
    if count < folds:
        group = "an event" if task.kind == "survival" else f"class {name!r}"
        raise UserError(
            f"{manifest}: column {column} has {count} usable patients with {group}, fewer than the {folds} folds; "
            "lower benchmark.folds or label more patients"
        )
