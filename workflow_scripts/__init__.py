"""Slide-Level Prototypical Distillation (SLPD) of whole-slide images, as a workflow."""

import sys
from typing import Any

__version__ = "0.1.0"


def _tell_interrupt(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    """What a command prints when Ctrl-C comes while it is still importing: a line, no traceback."""
    if issubclass(kind, KeyboardInterrupt):
        print("interrupted; run the same command again to go on", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


if sys.argv[:1] == ["-m"]:  # `python -m workflow_scripts.X`, while X is looked for: a command, not another's import
    sys.excepthook = _tell_interrupt
