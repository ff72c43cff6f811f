"""The same slide in two rows, by a link or by content: it would be its own neighbour, or learnt from and tested.

Equal paths are told by `core.manifest`. Here every file is asked for its state once, and only files of equal size are
read: a few pieces of each, and the whole of two that agree in these. Standard library only.
"""

import filecmp
import os
import stat
from collections.abc import Callable, Hashable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, TypeVar

from workflow_scripts.core.dicom import is_dicom_name, read_series
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.fetched import is_remote
from workflow_scripts.core.manifest import SlideRow
from workflow_scripts.core.series import split_series

_PIECES, _PIECE_BYTES = 16, 4096
_Item = TypeVar("_Item")


class _Known(NamedTuple):
    """A slide, the file that it is known by, its state, the UID of its series where it is of DICOM, and its image."""

    row: SlideRow
    path: Path
    state: os.stat_result
    series: str
    number: int | None


def require_different_slides(rows: Sequence[SlideRow], manifest: str) -> None:
    """Refuse two rows of one slide; files that are not there are passed over.

    Args:
        rows: of the manifest, or of both.
        manifest: for messages.

    Raises:
        UserError: two rows name one file by a link, one DICOM series by its folder and a file in it, files of equal
            content, or addresses of one SHA-256.
    """
    for one, two, how in same_slides(rows):
        raise UserError(
            f"{manifest}: slides {one.slide_id} ({one.path}) and {two.slide_id} ({two.path}) are one, {how}; keep one "
            "row, or the slide is its own neighbour, and in training and test alike"
        )


def same_slides(rows: Sequence[SlideRow]) -> Iterator[tuple[SlideRow, SlideRow, str]]:
    """Pairs of rows of one slide and how they are one, the cheapest to find first; a pair may come again."""
    remote = [row for row in rows if row.sha256 and is_remote(row.path)]
    for group in _groups(remote, lambda row: row.sha256):
        yield from ((one, two, "by their sha256") for one, two in pairwise(group))
    known = [found for row in rows if not is_remote(row.path) and (found := _known_by(row))]
    for same in _groups(known, lambda one: (one.state.st_dev, one.state.st_ino)):
        for one, two in _of_one_image(same):
            named = one.path == two.path
            yield one.row, two.row, "for a row names no image of the file" if named else "by a link"
    for series in _groups([one for one in known if one.series], lambda one: one.series):
        yield from ((one.row, two.row, "one DICOM series") for one, two in pairwise(series))
    files = [one for one in known if stat.S_ISREG(one.state.st_mode) and one.state.st_size]
    for sized in _groups(files, lambda one: one.state.st_size):
        for alike in _groups(sized, _pieces):
            for one, two in _of_one_image(alike):
                if filecmp.cmp(one.path, two.path, shallow=False):
                    yield one.row, two.row, "by content"


def _of_one_image(files: Sequence[_Known]) -> Iterator[tuple[_Known, _Known]]:
    """Neighbours among rows of equal files that are of one image, or may be, for one of them does not say which."""
    ordered = sorted(files, key=lambda one: one.number or 0)
    return ((one, two) for one, two in pairwise(ordered) if one.number in (None, two.number))


def _groups(items: Sequence[_Item], key: Callable[[_Item], Hashable]) -> list[list[_Item]]:
    """Items that share a key with another, in order."""
    found: dict[Hashable, list[_Item]] = {}
    for item in items:
        found.setdefault(key(item), []).append(item)
    return [group for group in found.values() if len(group) > 1]


def _known_by(row: SlideRow) -> _Known | None:
    """The file that a slide is known by: its own; of a MIRAX `Slidedat.ini`, for the .mrxs may be a mere picture."""
    file, number = split_series(row.path)
    path = Path(file)
    if path.suffix.lower() == ".mrxs":
        path = path.with_suffix("") / "Slidedat.ini"
    try:
        state = path.stat()
    except OSError:
        return None
    if stat.S_ISDIR(state.st_mode):
        # most folders hold one series, whose first file tells it; more are refused when the slide is opened
        heads = (read_series(file) for file in sorted(path.iterdir()) if file.is_file())
        series = next((head for head in heads if head is not None and head.whole_slide and not head.beside), None)
    else:
        series = read_series(path) if is_dicom_name(path) else None
    return _Known(row, path, state, series.uid if series else "", number)


def _pieces(one: _Known) -> Hashable:
    """Evenly spaced pieces of a file; one that cannot be read is like no other."""
    try:
        with one.path.open("rb") as file:
            last = max(0, one.state.st_size - _PIECE_BYTES)
            starts = [last * number // (_PIECES - 1) for number in range(_PIECES)]
            return b"".join(os.pread(file.fileno(), _PIECE_BYTES, start) for start in starts)
    except OSError:
        return one.path
