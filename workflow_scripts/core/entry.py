"""How every stage's command starts and ends: arguments, logging, and errors told in one sentence."""

import argparse
import errno
import logging
import sys
from collections.abc import Callable
from pathlib import Path

from workflow_scripts.core.errors import UserError

log = logging.getLogger("workflow_scripts")


def entry_parser(description: str | None) -> argparse.ArgumentParser:
    """Argument parser with the one option that all commands share, `--log`."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--log", type=Path, help="file that receives the log, beside the terminal")
    return parser


def parse_entry(parser: argparse.ArgumentParser, argv: list[str] | None) -> argparse.Namespace:
    """Parse the command line and point the log at the terminal and at `--log`."""
    args = parser.parse_args(argv)
    handlers: list[logging.Handler] = [logging.StreamHandler()]
    if args.log:
        args.log.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(args.log, mode="w", encoding="utf-8"))
    for old in log.handlers:
        old.close()
    log.handlers = handlers
    for handler in handlers:
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    log.setLevel(logging.INFO)
    log.propagate = False
    return args


def run_entry(main: Callable[[], None]) -> None:
    """Run a command's `main`; what a user can mend ends in one sentence and exit status 1."""
    try:
        main()
    except UserError as error:
        log.error("error: %s", error)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        where = f" while writing {error.filename}" if error.filename else ""
        log.error("error: the disk is full%s; free some space and run the same command again", where)
    else:
        return
    sys.exit(1)
