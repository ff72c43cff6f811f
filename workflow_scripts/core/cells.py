"""Cells of tables that people write: which are missing values, and how the ids of slides are matched.

Standard library only: the configuration is checked with it, and every cluster job reads it again.
"""

from collections import Counter
from collections.abc import Iterable

_MISSING = {"", "na", "n/a", "nan", "null", "none", "unknown", "-"}
# of files of slides, and of features that tools name by slide
_SUFFIXES = (
    *(".svs", ".tif", ".tiff", ".ndpi", ".mrxs", ".scn", ".bif", ".vms", ".vmu", ".svslide", ".czi", ".dcm", ".ome"),
    *(".png", ".jpg", ".jpeg", ".h5", ".pt"),
)


def is_missing(cell: str) -> bool:
    """Whether a cell holds no value: empty, NA, N/A, NaN, null, none, unknown or -, in upper or lower case.

    This is the one rule for labels, sites and parts. A name among a task's `classes` is a value all the same.
    """
    return cell.strip().lower() in _MISSING


def bare_id(slide_id: str) -> str:
    """A slide's id without the suffixes of files: `TCGA-3C-AALI-01Z.svs` is `TCGA-3C-AALI-01Z`."""
    name = slide_id.strip()
    while any(name.lower().endswith(suffix) for suffix in _SUFFIXES):
        name = name[: name.rindex(".")]
    return name


class SlideNames:
    """Finds the manifest's slides by ids that other tables give, with or without the suffix of a file."""

    def __init__(self, slide_ids: Iterable[str]) -> None:
        self._ids = set(slide_ids)
        counts = Counter(map(bare_id, self._ids))
        self._bare = {bare_id(name): name for name in self._ids if counts[bare_id(name)] == 1}

    def find(self, name: str) -> str | None:
        """The manifest's slide_id; None where the manifest has no such slide, or several but for suffixes."""
        return name if name in self._ids else self._bare.get(bare_id(name))


def first_few(names: Iterable[str], most: int = 3) -> str:
    """The first names of many, for a message."""
    named = list(names)
    return ", ".join(named[:most]) + (" ..." if len(named) > most else "")
