"""What the cells of a task's columns are taken for, and which of them are told as doubtful. Standard library only."""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Protocol

from workflow_scripts.core.cells import (
    find_alike,
    first_few,
    is_missing,
    is_number,
    looks_missing,
    parse_number,
    plain_text,
)
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.manifest import SlideRow


class ReadColumns(Protocol):
    """What of a task says how its columns are read (`core.labels.LabelledTask`)."""

    @property
    def columns(self) -> list[str]: ...
    @property
    def classes(self) -> list[str] | None: ...
    @property
    def missing(self) -> Sequence[str]: ...


def lacks_label(cell: str, task: ReadColumns) -> bool:
    """Whether a cell holds no value: by the one rule, or by the task's own texts; names of classes are values."""
    if cell and cell in (task.classes or ()):
        return False
    return is_missing(cell) or plain_text(cell) in map(plain_text, task.missing)


def count_missing(rows: list[SlideRow], task: ReadColumns, usable: Collection[str] | None) -> dict[str, int]:
    """How often each text for a missing value was met, in any of the task's columns."""
    wanted = {row.slide_id for row in rows} if usable is None else set(usable)
    cells = [row.labels[column] for row in rows if row.slide_id in wanted for column in task.columns]
    return dict(sorted(Counter(cell for cell in cells if lacks_label(cell, task)).items()))


def like_missing(rows: list[SlideRow], task: ReadColumns) -> list[str]:
    """A sentence for each column with values that look as if they stood for none.

    Args:
        rows: labelled rows.
        task: columns, classes and further texts for missing values.
    """
    told = []
    for column in task.columns:
        cells = Counter(row.labels[column] for row in rows)
        odd = {cell: count for cell, count in cells.items() if looks_missing(cell) and cell not in (task.classes or ())}
        if odd:
            named = first_few((f"{cell!r} ({count})" for cell, count in sorted(odd.items())), 5)
            told.append(
                f"column {column} holds what looks like a missing value and is read as a value: {named}; name it under "
                "missing in the task, or under classes where it is one"
            )
    return told


def require_distinct_names(
    names: Collection[str], what: str, source: str, classes: Collection[str] | None = None
) -> None:
    """Refuse names that look alike: LUAD and luad, a no-break space, a number written in two ways.

    Args:
        names: of a column.
        what: holds them, for the message: `column grade`.
        source: file of the column, for the message.
        classes: names that are known to be different; None where none can be named.

    Raises:
        UserError: two of the names look alike and are not both among `classes`.
    """
    for first, *others in find_alike(names):
        if {first, *others} <= set(classes or ()):
            continue
        how = "one number written in two ways" if is_number(first) else "which look alike"
        two = "rename one where they are two" if classes is None else "name all of them under classes where they differ"
        more = f" and {len(others) - 1} more like them" if len(others) > 1 else ""
        raise UserError(
            f"{source}: {what} holds {first!r} and {others[0]!r}{more}, {how}; write it in one way, or {two}"
        )


def in_order(names: Collection[str]) -> list[str]:
    """Class names by their text, or by number where all are numbers."""
    numbers = all(map(is_number, names))
    return sorted(names, key=lambda name: (parse_number(name) if numbers else 0.0, name))
