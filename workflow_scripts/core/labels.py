"""Labels of a task, read from the manifest's rows. The unit is the patient: its slides must agree.

Standard library only: what is wrong with the labels is said before anything runs, and again when the folds are dealt.
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Protocol

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.manifest import SlideRow
from workflow_scripts.core.tasks import KINDS, Kind, Label


class LabelledTask(Protocol):
    """What of a task of the configuration says where its labels are.

    Attributes:
        kind: name of `core.tasks.KINDS`.
        columns: columns of the manifest, in the order of the kind's `columns`.
        classes: class names in order; None takes the sorted values of the column.
    """

    @property
    def kind(self) -> str: ...
    @property
    def columns(self) -> list[str]: ...
    @property
    def classes(self) -> list[str] | None: ...


@dataclass(frozen=True)
class Labels:
    """Labels of the S slides that are usable and labelled, in manifest order.

    Attributes:
        kind: kind of the task.
        columns: columns of the manifest that hold the labels.
        slide_ids: S slide ids.
        patient_ids: S patient ids.
        values: S labels, as the kind's `columns` read them.
        classes: class names in order; empty for kinds without classes.
        excluded: how many slides were left out, by reason (`not_usable`, `no_label`).
    """

    kind: Kind
    columns: list[str]
    slide_ids: list[str]
    patient_ids: list[str]
    values: list[Label]
    classes: list[str]
    excluded: dict[str, int]

    def _group_of(self) -> dict[str, str]:
        of_patient = dict(zip(self.patient_ids, self.values, strict=True))
        return dict(zip(of_patient, self.kind.groups(list(of_patient.values())), strict=True))

    def _group_names(self) -> list[str]:
        return self.classes or list(self.kind.group_names)

    def strata(self) -> list[int]:
        """S numbers: what the folds are stratified by, the place of the patient's group in `counts`."""
        names, group_of = self._group_names(), self._group_of()
        return [names.index(group_of[patient]) for patient in self.patient_ids]

    def finer_values(self) -> list[float] | None:
        """S values by whose quantiles the strata are divided further; None for kinds that have none."""
        return None if self.kind.finer is None else [self.kind.finer(value) for value in self.values]

    def counts(self) -> dict[str, int]:
        """Patients of each group: of each class, or for survival with and without an event."""
        tally = Counter(self._group_of().values())
        return {name: tally[name] for name in self._group_names()}


def _require_columns(rows: list[SlideRow], columns: list[str], manifest: str) -> None:
    present = list(rows[0].labels) if rows else []
    for column in columns:
        if column not in present:
            near = get_close_matches(column, present, 1) or [name for name in present if name.lower() == column.lower()]
            guess = f" (did you mean {near[0]!r}?)" if near else ""
            mend = f"add it, name one of its label columns, {', '.join(present)}," if present else "add it"
            problem = f"{manifest} has no column {column!r} that the task asks for{guess}"
            raise UserError(f"{problem}; {mend} or drop the task")


def _value(row: SlideRow, kind: Kind, columns: list[str], manifest: str) -> Label:
    parts = []
    for read, column in zip(kind.columns.values(), columns, strict=True):
        cell = row.labels[column]
        try:
            parts.append(read(cell))
        except ValueError as error:
            raise UserError(f"{manifest}: column {column} of slide {row.slide_id} is {cell!r}; {error}") from None
    return parts[0] if len(parts) == 1 else tuple(parts)


def _parts(value: Label) -> tuple[str | float, ...]:
    return value if isinstance(value, tuple) else (value,)


def _require_agreement(rows: list[SlideRow], values: list[Label], columns: list[str], manifest: str) -> None:
    first: dict[str, tuple[SlideRow, Label]] = {}
    for row, value in zip(rows, values, strict=True):
        known, known_value = first.setdefault(row.patient_id, (row, value))
        for column, one, two in zip(columns, _parts(known_value), _parts(value), strict=True):
            if one != two:
                raise UserError(
                    f"{manifest}: patient {row.patient_id} has two values in column {column}, "
                    f"{known.labels[column]!r} (slide {known.slide_id}) and {row.labels[column]!r} (slide "
                    f"{row.slide_id}); labels are per patient, so make them equal or empty one"
                )


def _require_known_classes(rows: list[SlideRow], column: str, classes: list[str], manifest: str) -> None:
    for name, count in Counter(classes).items():
        if count > 1:
            raise UserError(f"classes names {name!r} {count} times for column {column} of {manifest}; name it once")
    for row in rows:
        if row.labels[column] not in classes:
            raise UserError(
                f"{manifest}: column {column} of slide {row.slide_id} is {row.labels[column]!r}, which is "
                f"none of the task's classes {', '.join(classes)}; correct it, empty it, or add it to classes"
            )


def _labelled(rows: list[SlideRow], task: LabelledTask, manifest: str) -> list[tuple[SlideRow, Label]]:
    """Rows that have a label, with it; the whole column is validated."""
    kind, columns = KINDS[task.kind], task.columns
    _require_columns(rows, columns, manifest)
    labelled = [row for row in rows if all(row.labels[column] for column in columns)]
    values = [_value(row, kind, columns, manifest) for row in labelled]
    if kind.has_classes and task.classes is not None:
        _require_known_classes(labelled, columns[0], task.classes, manifest)
    _require_agreement(labelled, values, columns, manifest)
    return list(zip(labelled, values, strict=True))


def read_labels(
    rows: list[SlideRow], task: LabelledTask, manifest: str, usable: Collection[str] | None = None
) -> Labels:
    """Labels of a task for the usable slides that have one.

    Slides that are not usable are validated too, so that an error does not come and go with the state of a slide.

    Args:
        rows: the manifest's rows.
        task: kind, columns and classes.
        manifest: the manifest's path, for messages.
        usable: slide ids with status ok; None takes all slides, before anything is known of them.

    Raises:
        UserError: a column is not there, a value is wrong, a patient has two values, or no labelled slide or
            only one class is left.
    """
    labelled = _labelled(rows, task, manifest)
    wanted = {row.slide_id for row in rows} if usable is None else set(usable)
    kept = [(row, value) for row, value in labelled if row.slide_id in wanted]
    no_label = sum(row.slide_id in wanted for row in rows) - len(kept)
    slides = "slides" if usable is None else "usable slides"
    where = f"{manifest}: column {' and '.join(task.columns)}"
    if not kept:
        raise UserError(f"{where} is empty for all {no_label} {slides}; fill it in, or drop the task")
    found = sorted({str(value) for _, value in kept}) if KINDS[task.kind].has_classes else []
    if len(found) == 1:
        raise UserError(
            f"{where} holds only one class, {found[0]!r}, over {len(kept)} {slides}; label slides of a second class"
        )
    return Labels(
        kind=KINDS[task.kind],
        columns=task.columns,
        slide_ids=[row.slide_id for row, _ in kept],
        patient_ids=[row.patient_id for row, _ in kept],
        values=[value for _, value in kept],
        classes=list(task.classes or found) if found else [],
        excluded={"not_usable": sum(row.slide_id not in wanted for row in rows), "no_label": no_label},
    )


def require_patients(labels: Labels, folds: int, manifest: str, patients: str = "usable patients") -> None:
    """Refuse a task that has too few patients for its folds.

    Args:
        labels: of the task.
        folds: number of folds.
        manifest: the manifest's path, for the message.
        patients: what is counted, for the message.

    Raises:
        UserError: a group that every fold needs (a class; for survival the patients with an event) has fewer patients
            than there are folds.
    """
    counts = labels.counts()
    name = min(labels.kind.in_every_fold or counts, key=lambda name: counts[name])
    if counts[name] < folds:
        group = f"with class {name!r}" if labels.classes else f"in the group {name!r}"
        counted = f"{counts[name]} {patients.removesuffix('s') if counts[name] == 1 else patients}"
        raise UserError(
            f"{manifest}: column {labels.columns[-1]} has {counted} {group}, fewer than the {folds} folds; "
            "lower benchmark.folds or label more patients"
        )
