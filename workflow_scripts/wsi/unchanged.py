"""Whether a slide's file is still the one that was checked: scale, tissue and regions are of that one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from workflow_scripts.core.series import split_series
from workflow_scripts.core.status import SlideError


def file_bytes(path: str | Path) -> int | None:
    """Size of a slide's file, bytes; None of a folder, and where there is no file.

    The time of a file tells less: it changes with a copy, and does not where a file is put back by `cp -p`.
    """
    file, _ = split_series(str(path))
    return os.path.getsize(file) if os.path.isfile(file) else None


@contextmanager
def unchanged(path: str | Path, checked: int | None) -> Iterator[None]:
    """Work on a slide that was checked; what it comes to, or a decoder's error, counts if the file has stayed.

    Args:
        path: the slide's file.
        checked: `file_bytes` when it was checked; None leaves it unasked.

    Raises:
        SlideError: `changed_file`, before or after the work.
    """
    _require(path, checked)
    try:
        yield
    finally:
        _require(path, checked)


def _require(path: str | Path, checked: int | None) -> None:
    found = file_bytes(path) if checked is not None else None
    if found == checked:
        return
    if found is None:
        what, mend = "is gone since it was checked", "put it back"
    else:
        what, mend = f"has changed since it was checked ({checked} bytes then, {found} now)", "wait until it is whole"
    raise SlideError("changed_file", f"{path} {what}; {mend}, `touch` it, and run the same command again")
