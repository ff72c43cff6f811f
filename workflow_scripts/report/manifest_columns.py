"""Columns of the manifest with few distinct values, such as site, batch or scanner, to colour slides by."""

from collections.abc import Collection, Iterable

from workflow_scripts.config import Task
from workflow_scripts.core.cells import is_missing
from workflow_scripts.core.manifest import SlideRow

MOST_VALUES, MOST_COLUMNS = 20, 12


def few_valued(rows: Iterable[SlideRow], taken: Collection[str]) -> dict[str, dict[str, str]]:
    """Values by slide_id of the first columns of the manifest that have few, in its order; missing ones are left out.

    A column counts that has 2 to 20 distinct values, each on two slides or more on average; at most 12 are taken.

    Args:
        rows: of one manifest or several.
        taken: columns that are told elsewhere.
    """
    found: dict[str, dict[str, str]] = {}
    for row in rows:
        for name, cell in row.labels.items():
            if name not in taken and not is_missing(cell):
                found.setdefault(name, {})[row.slide_id] = cell.strip()
    few = {
        name: values
        for name, values in found.items()
        if 2 <= len(set(values.values())) <= min(MOST_VALUES, len(values) // 2)
    }
    return dict(list(few.items())[:MOST_COLUMNS])


def label_columns_of(tasks: Iterable[Task]) -> set[str]:
    """Columns of the manifest that the page has as labels of tasks; those of a control are not told there."""
    return {column for task in tasks if not task.permuted and not task.table for column in task.columns}
