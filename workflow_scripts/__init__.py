"""Slide-Level Prototypical Distillation (SLPD) of whole-slide images, as a workflow."""

import os
import signal
import sys
from typing import Any

__version__ = "0.1.0"

_interrupts: list[int] = []


def _note(number: int, frame: Any) -> None:
    _interrupts.append(number)
    signal.default_int_handler(number, frame)


def note_interrupts() -> None:
    """Have Ctrl-C noted where it would raise KeyboardInterrupt, for an import that it cuts off may fail otherwise."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _note)


def interrupted() -> bool:
    """Whether Ctrl-C has come since `note_interrupts`."""
    return bool(_interrupts)


def _tell_interrupt(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    """What a command prints when Ctrl-C comes while it is still importing: a line, no traceback."""
    if interrupted():
        print("interrupted; run the same command again to go on", file=sys.stderr, flush=True)
        os._exit(128 + signal.SIGINT)
    else:
        sys.__excepthook__(kind, error, trace)


if sys.argv[:1] == ["-m"]:  # `python -m workflow_scripts.X`, while X is looked for: a command, not another's import
    note_interrupts()
    sys.excepthook = _tell_interrupt
