"""Lists of slides that vouch for the slides' own files: of a chunk of a stage, of a shard of features.

Rules see the lists alone. Slides are dealt to lists anew where their number changes, and so a list of an earlier number
may lie beside those of today. It would still be right to its rule once its number comes back, though the files that it
speaks of have been made of other settings meanwhile.
"""

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.tables import read_table


def remove_other_lists(mine: Path, slides: Iterable[str]) -> list[Path]:
    """Remove the lists beside `mine` that name one of its slides, before the files of these are touched.

    Args:
        mine: the list that is to be written.
        slides: ids that it is to name.

    Returns:
        The lists that were removed.
    """
    ids, removed = set(slides), []
    for other in sorted(mine.parent.glob("*.parquet")):
        if other.name != mine.name and not ids.isdisjoint(_slides_of(other)):
            other.unlink(missing_ok=True)
            removed.append(other)
    return removed


def _slides_of(file: Path) -> list[str]:
    """Slides that a list names; of one that cannot be read none, for no rule takes it as it is."""
    try:
        return [str(slide) for slide in read_table(file, ["slide_id"])["slide_id"].to_pylist()]
    except (UserError, OSError, pa.ArrowException):
        return []
