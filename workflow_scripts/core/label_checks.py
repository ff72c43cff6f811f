"""What may be wrong with a column of labels, each refused in one sentence. Standard library only."""

from collections import Counter
from collections.abc import Sequence
from difflib import get_close_matches

from workflow_scripts.core.cells import first_few
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.manifest import SlideRow
from workflow_scripts.core.tasks import Label


def require_columns(present: Sequence[str], columns: Sequence[str], source: str, asker: str = "the task") -> None:
    """Refuse a column that is not there, with the one that was probably meant.

    Raises:
        UserError: one of `columns` is none of those present.
    """
    for column in columns:
        if column not in present:
            near = [name for name in present if name.lower() == column.lower()] or get_close_matches(column, present, 1)
            guess = f" (did you mean {near[0]!r}?)" if near else ""
            mend = f"add it, name one of its label columns, {', '.join(present)}," if present else "add it"
            problem = f"{source} has no column {column!r} that {asker} asks for{guess}"
            raise UserError(f"{problem}; {mend} or drop the task")


def _parts(value: Label) -> tuple[str | float, ...]:
    return value if isinstance(value, tuple) else (value,)


def require_agreement(rows: list[SlideRow], values: list[Label], columns: list[str], source: str) -> None:
    """Refuse two labels of one patient.

    Raises:
        UserError: slides of a patient have different values.
    """
    first: dict[str, tuple[SlideRow, Label]] = {}
    for row, value in zip(rows, values, strict=True):
        known, known_value = first.setdefault(row.patient_id, (row, value))
        for column, one, two in zip(columns, _parts(known_value), _parts(value), strict=True):
            if one != two:
                raise UserError(
                    f"{source}: patient {row.patient_id} has two values in column {column}, "
                    f"{known.labels[column]!r} (slide {known.slide_id}) and {row.labels[column]!r} (slide "
                    f"{row.slide_id}); labels are per patient, so make them equal, empty one, or set level: slide"
                )


def require_known_classes(
    rows: list[SlideRow], column: str, classes: list[str], others_allowed: bool, source: str
) -> None:
    """Refuse classes that are named twice, and values that are none of them unless others are to be left out.

    Raises:
        UserError: as said.
    """
    for name, count in Counter(classes).items():
        if count > 1:
            raise UserError(f"classes names {name!r} {count} times for column {column} of {source}; name it once")
    others = Counter(row.labels[column] for row in rows if row.labels[column] not in classes)
    if others and not others_allowed:
        row = next(row for row in rows if row.labels[column] in others)
        named = first_few((f"{name} ({count})" for name, count in others.most_common()), 5)
        raise UserError(
            f"{source}: column {column} of slide {row.slide_id} is {row.labels[column]!r}, which is none of the task's "
            f"classes {', '.join(classes)}; correct it, empty it, add it to classes, or set other_classes: leave_out "
            f"to leave such slides out: {named}"
        )
