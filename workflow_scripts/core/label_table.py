"""Labels from elsewhere than the manifest: a table beside it, and the classes that HIPT's published splits imply."""

from workflow_scripts.core.cells import SlideNames, first_few, is_missing
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.hipt_splits import read_hipt
from workflow_scripts.core.label_checks import require_columns
from workflow_scripts.core.manifest import SlideRow
from workflow_scripts.core.text_tables import TextTable, read_text_table

SLIDE_COLUMN = "slide_id"
PATIENT_COLUMNS = ("patient_id", "case_id")


def id_column(table: TextTable, path: str, key: str) -> str:
    """Column by which a table names slides, or else patients.

    Raises:
        UserError: it has neither.
    """
    found = [name for name in (SLIDE_COLUMN, *PATIENT_COLUMNS) if name in table.columns]
    if not found:
        raise UserError(
            f"{key}: {path} has no column slide_id, patient_id or case_id, only {first_few(table.columns, 6)}; "
            "name one of its columns so"
        )
    return found[0]


def with_table(rows: list[SlideRow], path: str, columns: list[str]) -> list[SlideRow]:
    """The manifest's rows with columns of a table of labels in place of their own; slides it lacks get empty cells.

    Args:
        rows: the manifest's rows.
        path: file with slide_id (with or without the suffix of a file), or patient_id or case_id, and the columns.
        columns: those that are taken over.

    Raises:
        UserError: the file or a column is not there, it names no slide or patient of the manifest, or one twice with
            different values.
    """
    table = read_text_table(path, "table")
    by = id_column(table, path, "table")
    require_columns(table.columns, columns, path)
    ids = [row.slide_id if by == SLIDE_COLUMN else row.patient_id for row in rows]
    names, cells_of = SlideNames(ids), dict[str, dict[str, str]]()
    for record in table.rows:
        name, cells = names.find(record[by]), {column: record[column] for column in columns}
        if name is not None and cells_of.setdefault(name, cells) != cells:
            raise UserError(f"table: {path} has two rows of {by} {record[by]} with different values; keep one")
    if not cells_of:
        raise UserError(
            f"table: {path} names no {by.removesuffix('_id')} of the manifest, its first are "
            f"{first_few(record[by] for record in table.rows)}, the manifest's {first_few(ids)}; check the ids"
        )
    empty = dict.fromkeys(columns, "")
    return [
        row._replace(labels={**row.labels, **cells_of.get(name, empty)}) for row, name in zip(rows, ids, strict=True)
    ]


def with_published_classes(rows: list[SlideRow], column: str, folder: str, source: str) -> list[SlideRow]:
    """Rows with the class that HIPT's splits imply where their cell is missing; the column need not be there.

    Args:
        rows: rows with labels.
        column: that of the class.
        folder: of the published splits.
        source: file of the column, for messages.

    Raises:
        UserError: the splits cannot be read, or imply another class than a cell holds.
    """
    classes = read_hipt(folder).classes
    names = SlideNames(row.slide_id for row in rows)
    of_slide = {names.find(name): group for name, group in classes.items()}
    filled = []
    for row in rows:
        cell, implied = row.labels.get(column, ""), of_slide.get(row.slide_id, "")
        if implied and not is_missing(cell) and cell != implied:
            raise UserError(
                f"{source}: column {column} of slide {row.slide_id} is {cell!r}, but the splits in {folder} count it "
                f"as {implied!r}; correct the one, or name another column"
            )
        filled.append(row._replace(labels={**row.labels, column: implied if is_missing(cell) else cell}))
    return filled
