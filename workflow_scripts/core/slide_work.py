"""Making the files of one slide, unless those that are there still hold.

Apart from `core.slide_stage`, for it imports commands by name, and what a command's digest counts is what it imports.
"""

import hashlib
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, cast

import pyarrow as pa

from workflow_scripts.core.content import sampled_digest, slide_digest, table_digest
from workflow_scripts.core.digest import value_digest
from workflow_scripts.core.entry import start_log
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.fetched import read_record
from workflow_scripts.core.slide_stage import Files, Stage
from workflow_scripts.core.status import Reason, excluded
from workflow_scripts.core.tables import read_meta, read_status, read_table


class SlideWork(NamedTuple):
    """One slide for `start_stage`: its id, its options, and why its process has ended before, or nothing."""

    slide_id: str
    arguments: list[str]
    ended: str = ""


def start_stage(name: str, code: str, log_file: Path | None) -> Callable[[SlideWork], dict[str, Any]]:
    """The function that makes the files of a slide, unless they hold, and gives its row of `schemas.CHUNK`.

    Args:
        name: of the stage's command.
        code: digest of its code.
        log_file: what is told is put behind it; None for the terminal alone.
    """
    stage = cast(Stage, import_module(f"workflow_scripts.{name}"))
    start_log(log_file, append=True)
    return lambda work: make_slide(stage, work, code)


def make_slide(stage: Stage, work: SlideWork, code: str) -> dict[str, Any]:
    """Make the files of a slide, unless they hold; its row of `schemas.CHUNK`.

    Raises:
        UserError: a table of an earlier stage is missing, or of the stage itself.
    """
    args = stage.slide_parser().parse_args(work.arguments)
    files = stage.files(args)
    args.made_of = value_digest([code, work.arguments, _content(files)])
    if not _holds(files.outputs, args.made_of, stage.ENDED):
        Path(files.outputs[-1]).unlink(missing_ok=True)  # it vouches for the others, which are about to be written over
        stage.run(args, excluded(work.slide_id, stage.ENDED, work.ended) if work.ended else None)
    status = read_status(files.outputs[-1])
    facts = {"status": status.status, "reason": status.reason, "detail": status.detail, "made_of": args.made_of}
    return {"slide_id": work.slide_id, **facts}


def _holds(outputs: Sequence[str], made_of: str, ended: Reason) -> bool:
    """Whether all files are there, and made of this; what could not be read before is tried again, as it may pass."""
    if not all(Path(output).is_file() for output in outputs):
        return False
    try:
        found = read_meta(outputs[-1])
    except (OSError, pa.ArrowInvalid):
        return False
    return found.get("made_of") == made_of and found["status"]["reason"] not in ("changed_file", ended)


def _content(files: Files) -> list[Any]:
    """What decides of each input; of tables not what they themselves were made of, if they came out the same."""
    tables = [_read_whole(path) for path in files.tables]
    named = [path for table, _ in tables if "path" in table.column_names for path in table["path"].to_pylist()]
    return [
        [[table_digest(table), meta] for table, meta in tables],
        [_slide_content(path) for path in [files.slide, *named] if path],
        [_file_content(Path(path)) for path in files.others],
    ]


def _read_whole(path: str) -> tuple[pa.Table, dict[str, Any]]:
    if not Path(path).is_file():
        raise UserError(
            f"{path} does not exist: the manifest has changed since this run was planned, or the file was deleted; run "
            f"the same command again, and if this comes back, delete the folder {Path(path).parent.name}/chunks before"
        )
    return read_table(path), {key: value for key, value in read_meta(path).items() if key != "made_of"}


def _slide_content(path: str) -> Any:
    fetched = read_record(path)
    if fetched:
        return [fetched.sha256, fetched.reason]
    try:
        return slide_digest(Path(path))
    except OSError as error:  # which the stage will tell of
        return type(error).__name__


def _file_content(path: Path) -> Any:
    """Source is read whole; of other files the time counts, too: a small change may lie between the sampled pieces."""
    if not path.is_file():
        return None
    if path.suffix == ".py":
        return hashlib.sha256(path.read_bytes()).hexdigest()
    return [sampled_digest(path), path.stat().st_mtime_ns]
