"""What sets of prototypes add to slide vectors: the same embedding by heads that are alike, on the same splits."""

from collections.abc import Iterable, Mapping, Sequence

from workflow_scripts.core.heads import HEADS
from workflow_scripts.core.tasks import LIKENESSES, ON_SETS
from workflow_scripts.mil.results import Cell, Row, compared, correct

_LIKE = {name: entry.on_vectors for name, entry in HEADS.items() if entry.on_vectors} | ON_SETS


def set_rows(cells: Iterable[Cell], sets: Mapping[str, str], primary: dict[str, str]) -> list[Row]:
    """Rows of `schemas.SETS`: heads and retrieval on sets against those on the slide vectors of the same embedding.

    All of them are named beforehand, so all are corrected: those of the heads in one task, or in the tasks of one
    family, over embeddings, heads and budgets; those of retrieval by themselves.

    Args:
        cells: of all tasks.
        sets: representations that are sets, and that of whose regions each is made.
        primary: the head of each kind of task that claims are made of.
    """
    known = {(*cell.place, cell.representation): cell for cell in cells}
    rows = []
    for task in sorted({task for task, *_ in known}):
        for name, source in sets.items():
            for head, other in _LIKE.items():
                one, two = known.get((task, head, name)), known.get((task, other, source))
                if one and two:
                    rows += [row | {"other": other} for row in compared(one, two, primary) if row["headline"]]
    for family in _families(rows):
        correct(family)
    return rows


def _families(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows that are corrected together."""
    found: dict[tuple[str, bool], list[Row]] = {}
    for row in rows:
        found.setdefault((row["family"], row["head"] in LIKENESSES), []).append(row)
    return list(found.values())
