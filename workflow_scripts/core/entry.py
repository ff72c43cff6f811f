"""How every stage's command starts and ends: arguments, logging, and errors told in one sentence."""

import argparse
import contextlib
import errno
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from workflow_scripts import interrupted, note_interrupts
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.launch import is_worker
from workflow_scripts.core.run_lock import join

log = logging.getLogger("workflow_scripts")
# errors that end in a sentence: what is the matter, and how to mend it
_NO_SPACE = {
    errno.ENOSPC: ("the disk is full", "free some space"),
    errno.EDQUOT: ("the disk is full", "free some space"),
    errno.EFBIG: ("the limit on the size of a file is reached", "raise it (ulimit -f)"),
}


class _LogFile(logging.FileHandler):
    """A log file that may stop growing: on a full disk, where the error to be told is another one's."""

    def handleError(self, record: logging.LogRecord) -> None:
        pass


def entry_parser(description: str | None) -> argparse.ArgumentParser:
    """Argument parser with the one option that all commands share, `--log`."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--log", type=Path, help="file that receives the log, beside the terminal")
    return parser


def parse_entry(parser: argparse.ArgumentParser, argv: list[str] | None) -> argparse.Namespace:
    """Parse the command line and point the log at the terminal and at `--log`.

    Of several processes that torchrun has started, the first tells everything, the others their errors.
    """
    args = parser.parse_args(argv)
    start_log(args.log, append=is_worker())
    join()
    return args


def start_log(file: Path | None, append: bool = False) -> None:
    """Point the log at the terminal and at a file, if there is one, which is begun anew unless `append`."""
    first = int(os.environ.get("RANK", "0")) == 0
    handlers: list[logging.Handler] = [logging.StreamHandler()]
    if file:
        file.parent.mkdir(parents=True, exist_ok=True)
        if not append:
            file.write_bytes(b"")
        handlers.append(_LogFile(file, mode="a", encoding="utf-8"))  # behind what another process of the job has told
    for old in log.handlers:
        old.close()
    log.handlers = handlers
    for handler in handlers:
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    log.setLevel(logging.INFO if first else logging.ERROR)
    log.propagate = False


def run_entry(main: Callable[[], None]) -> None:
    """Run a command's `main`; what a user can mend ends in one sentence and exit status 1, Ctrl-C in a line and 130."""
    note_interrupts()
    try:
        main()
    except KeyboardInterrupt:
        _leave_interrupted()
    except Exception as error:
        if interrupted():
            _leave_interrupted()
        _tell(error)
        _leave(1)  # nor is a process that waits for a dead share
    _leave()


def _tell(error: Exception) -> None:
    """Tell what a user can mend in one sentence; what else there is goes on its way."""
    if isinstance(error, BrokenPipeError):  # whoever reads what is printed has had enough: `slpd keys | head`
        os._exit(0)
    if isinstance(error, UserError):
        log.error("error: %s", error)
        return
    if not isinstance(error, OSError) or error.errno not in _NO_SPACE:
        raise error
    where = f" while writing {error.filename}" if error.filename else ""
    matter, mend = _NO_SPACE[error.errno]
    log.error("error: %s%s; %s and run the same command again", matter, where, mend)


def _leave_interrupted() -> NoReturn:
    log.error("interrupted; run the same command again to go on")
    _leave(128 + signal.SIGINT)  # threads that still read or compute are not waited for


def _leave(status: int = 0) -> NoReturn:
    """End the process at once, with what was written flushed: taking torch down in good order costs a second."""
    logging.shutdown()
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)
