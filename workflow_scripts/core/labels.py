"""Labels of a task, from the manifest's rows or a table beside it, by patient or by slide.

Standard library only: what is wrong with the labels is said before anything runs, and again when the folds are dealt.
"""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from workflow_scripts.core.cells import is_number
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.events import from_r_coding, nearly_all_events, require_event_column
from workflow_scripts.core.label_cells import count_missing, in_order, lacks_label, like_missing, require_distinct_names
from workflow_scripts.core.label_checks import require_agreement, require_columns, require_known_classes
from workflow_scripts.core.label_table import with_published_classes, with_table
from workflow_scripts.core.manifest import SlideRow
from workflow_scripts.core.tasks import KINDS, Kind, Label


class LabelledTask(Protocol):
    """What of a task of the configuration says where its labels are.

    Attributes:
        kind: name of `core.tasks.KINDS`.
        columns: columns of the manifest or the table, in the order of the kind's `columns`.
        readers: functions that read a cell of each.
        classes: class names in order; None takes the sorted values of the column.
        table: file with the labels; None where the manifest has them.
        published: folder of HIPT's splits, which tell the class of slides that have no other; or None.
        other_classes: `refuse` or `leave_out` values that are none of `classes`.
        missing: texts that stand for a missing value in its columns, beside those of `core.cells`.
        level: `patient` or `slide`, what has a label.
        slides_of_patient: `average` or `bag`.
    """

    @property
    def kind(self) -> str: ...
    @property
    def columns(self) -> list[str]: ...
    @property
    def readers(self) -> Sequence[Callable[[str], Any]]: ...
    @property
    def classes(self) -> list[str] | None: ...
    @property
    def table(self) -> str | None: ...
    @property
    def published(self) -> str | None: ...
    @property
    def other_classes(self) -> str: ...
    @property
    def missing(self) -> Sequence[str]: ...
    @property
    def level(self) -> str: ...
    @property
    def slides_of_patient(self) -> str: ...


@dataclass(frozen=True)
class Labels:
    """Labels of the S slides that are usable and labelled, in manifest order.

    Attributes:
        kind: kind of the task.
        columns: columns that hold the labels.
        slide_ids: S slide ids.
        patient_ids: S patient ids.
        values: S labels, as the kind's `columns` read them.
        classes: class names in order; empty for kinds without classes.
        excluded: how many slides were left out, by reason (`not_usable`, `no_label`, `other_class`,
            `in_no_part`).
        level: `patient`, or `slide` where slides of a patient may have different labels.
        slides_of_patient: `average` for slides that are learnt and predicted one by one, `bag` for one bag a patient.
        missing: how often each text that stands for a missing value was met among the usable slides.
        implied: how many of the slides have their class from the published splits alone.
        doubts: sentences on what of the columns may be meant otherwise than it is read.
    """

    kind: Kind
    columns: list[str]
    slide_ids: list[str]
    patient_ids: list[str]
    values: list[Label]
    classes: list[str]
    excluded: dict[str, int]
    level: str = "patient"
    slides_of_patient: str = "average"
    missing: dict[str, int] = field(default_factory=dict)
    implied: int = 0
    doubts: list[str] = field(default_factory=list)

    def groups(self) -> list[str]:
        """S names of the kind's groups: the class, or for survival with or without an event."""
        units = self.slide_ids if self.level == "slide" else self.patient_ids
        of_unit = dict(zip(units, self.values, strict=True))
        group_of = dict(zip(of_unit, self.kind.groups(list(of_unit.values())), strict=True))
        return [group_of[unit] for unit in units]

    def group_names(self) -> list[str]:
        """Names of the groups in order."""
        return self.classes or list(self.kind.group_names)

    def strata(self) -> list[int]:
        """S numbers: what the folds are stratified by, the place of the group in `counts`."""
        names = self.group_names()
        return [names.index(group) for group in self.groups()]

    def finer_values(self) -> list[float] | None:
        """S values by whose quantiles the strata are divided further; None for kinds that have none."""
        return None if self.kind.finer is None else [self.kind.finer(value) for value in self.values]

    def counts(self) -> dict[str, int]:
        """Patients of each group: of each class, or for survival with and without an event.

        Where labels are by slide, a patient counts in each group of its slides.
        """
        tally = Counter(group for _, group in set(zip(self.patient_ids, self.groups(), strict=True)))
        return {name: tally[name] for name in self.group_names()}

    def needed(self) -> list[str]:
        """Groups of which every training part needs a patient."""
        return list(self.kind.in_every_fold) or self.group_names()


def _value(row: SlideRow, task: LabelledTask, source: str) -> Label:
    parts = []
    for read, column in zip(task.readers, task.columns, strict=True):
        cell = row.labels[column]
        try:
            parts.append(read(cell))
        except ValueError as error:
            raise UserError(f"{source}: column {column} of slide {row.slide_id} is {cell!r}; {error}") from None
    return parts[0] if len(parts) == 1 else tuple(parts)


def _is_event(task: LabelledTask) -> bool:
    """Whether a task names the column of the event, and not that of its reverse."""
    return task.readers[1] is KINDS[task.kind].columns["event"]


def _labelled(rows: list[SlideRow], task: LabelledTask, source: str) -> tuple[list[SlideRow], list[str]]:
    """Rows that have a label, and what of the column is doubtful; the whole column is looked at."""
    kind = KINDS[task.kind]
    require_columns(list(rows[0].labels) if rows else [], task.columns, source)
    labelled = [row for row in rows if not any(lacks_label(row.labels[column], task) for column in task.columns)]
    doubts = like_missing(labelled, task)
    if "event" in kind.columns:
        require_event_column(labelled, task.columns, _is_event(task), source)
        if _is_event(task):
            labelled, told = from_r_coding(labelled, task.columns[1])
            doubts += told
    if kind.has_classes:
        names = [row.labels[task.columns[0]] for row in labelled]
        require_distinct_names(names, f"column {task.columns[0]}", source, task.classes or ())
    if kind.has_classes and task.classes is not None:
        require_known_classes(labelled, task.columns[0], task.classes, task.other_classes == "leave_out", source)
    return labelled, doubts


def read_labels(
    rows: list[SlideRow],
    task: LabelledTask,
    manifest: str,
    usable: Collection[str] | None = None,
    in_parts: Collection[str] | None = None,
) -> Labels:
    """Labels of a task for the usable slides that have one.

    Slides that are not usable are validated too, so that an error does not come and go with the state of a slide.

    Args:
        rows: the manifest's rows.
        task: kind, columns and classes; its table and the classes of published splits are read where it names them.
        manifest: the manifest's path, for messages.
        usable: slide ids with status ok; None takes all slides, before anything is known of them.
        in_parts: slide ids that given splits name; None takes all.

    Raises:
        UserError: a column is not there, a value is wrong, a patient has two values where labels are by patient, or no
            labelled slide or only one class is left.
    """
    source = task.table or manifest
    if task.table:
        rows = with_table(rows, task.table, task.columns)
    told = rows
    if task.published and KINDS[task.kind].has_classes:
        rows = with_published_classes(rows, task.columns[0], task.published, source)
    implied = {row.slide_id for row, before in zip(rows, told, strict=True) if row.labels != before.labels}
    labelled, doubts = _labelled(rows, task, source)
    values = {row.slide_id: _value(row, task, source) for row in labelled}
    if task.level == "patient":
        require_agreement(labelled, list(values.values()), task.columns, source)
    if "event" in KINDS[task.kind].columns:
        doubts += nearly_all_events(labelled, values, task.columns[1], _is_event(task))
    kept, excluded = _sort_out(rows, values, task, usable, in_parts)
    classes = _classes([values[row.slide_id] for row in kept], task, excluded, source, usable)
    return Labels(
        kind=KINDS[task.kind],
        columns=task.columns,
        slide_ids=[row.slide_id for row in kept],
        patient_ids=[row.patient_id for row in kept],
        values=[values[row.slide_id] for row in kept],
        classes=classes,
        excluded=excluded,
        level=task.level,
        slides_of_patient=task.slides_of_patient,
        missing=count_missing(rows, task, usable),
        implied=sum(row.slide_id in implied for row in kept),
        doubts=[f"{source}: {doubt}" for doubt in doubts],
    )


def _sort_out(
    rows: list[SlideRow],
    values: dict[str, Label],
    task: LabelledTask,
    usable: Collection[str] | None,
    in_parts: Collection[str] | None,
) -> tuple[list[SlideRow], dict[str, int]]:
    """Rows that the task takes, and how many it does not, by reason; each row counts under its first reason."""
    wanted, parted = (None if names is None else set(names) for names in (usable, in_parts))
    others = task.classes if KINDS[task.kind].has_classes else None
    kept, excluded = [], {"not_usable": 0, "no_label": 0}
    for row in rows:
        if wanted is not None and row.slide_id not in wanted:
            reason = "not_usable"
        elif row.slide_id not in values:
            reason = "no_label"
        elif others is not None and values[row.slide_id] not in others:
            reason = "other_class"
        elif parted is not None and row.slide_id not in parted:
            reason = "in_no_part"
        else:
            kept.append(row)
            continue
        excluded[reason] = excluded.get(reason, 0) + 1
    return kept, excluded


def _classes(
    values: list[Label], task: LabelledTask, excluded: dict[str, int], source: str, usable: Collection[str] | None
) -> list[str]:
    """Class names in order; empty for kinds without classes."""
    slides = "slides" if usable is None else "usable slides"
    where = f"{source}: column {' and '.join(task.columns)}"
    if not values:
        others = [f"{count} are {reason.replace('_', ' ')}" for reason, count in list(excluded.items())[2:]]
        rest = f" or not to be used ({', '.join(others)})" if others else ""
        count = sum(excluded.values()) - excluded["not_usable"]
        raise UserError(f"{where} is empty{rest} for all {count} {slides}; fill it in, or drop the task")
    if not KINDS[task.kind].has_classes:
        if len(KINDS[task.kind].truth) == 1 and len(set(values)) == 1 < len(values):
            told = f"holds only one value, {values[0]!r}, over {len(values)} {slides}"
            raise UserError(f"{where} {told}; there is nothing to learn, so correct it or drop the task")
        return []
    found = in_order({str(value) for value in values})
    if len(found) == 1:
        raise UserError(
            f"{where} holds only one class, {found[0]!r}, over {len(values)} {slides}; label slides of a second class"
        )
    if task.kind == "ordinal" and not task.classes and not all(map(is_number, found)):
        told = f"holds grades that are no numbers, {', '.join(found)}"
        raise UserError(f"{where} {told}; name them in order under classes")
    return list(task.classes or found)


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
