"""Files appear whole or not at all."""

import glob
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def _is_running(process: int) -> bool:
    """Whether this machine has a process of that id."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it is another user's
    return True


def _remove_leftovers(path: Path) -> None:
    """Remove what killed processes wrote of `path`; one that still runs on this machine is left to go on."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.partial"):
        process = left.name.split(".")[-2]
        if process.isdecimal() and not _is_running(int(process)):
            left.unlink(missing_ok=True)


@contextmanager
def whole_file(path: Path | str) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success it is synced to disk and renamed to `path`.

    On any error the temporary file is removed and `path` is left as it was. A process that is killed cannot do so:
    its temporary file goes when `path` is written next.

    Raises:
        OSError: the disk is full or the folder cannot be written; `filename` is set to `path`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        with open(partial, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        if error.errno is not None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: Path | str, text: str) -> None:
    """Write a UTF-8 text file whole or not at all."""
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")
