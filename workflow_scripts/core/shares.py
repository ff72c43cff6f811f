"""Whether the folders of slides answer: a share whose server is gone holds whoever asks for a file, with no error."""

import os
import threading
from collections.abc import Iterable
from contextlib import suppress

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.fetched import is_remote

_PATIENCE_S = 30.0  # a busy server takes a second, a disk that has to spin up ten


def require_answers(paths: Iterable[str], manifest: str, patience_s: float = _PATIENCE_S) -> None:
    """Refuse slides on a share that does not answer, before anything else asks for them.

    A thread asks for one folder after another, each once; that one of them is missing is no matter here. Where it stays
    at one, it is left there, for nothing can call it back.

    Args:
        paths: of the slides; addresses are left out.
        manifest: that lists them, for the message.
        patience_s: how long a folder may take, s.

    Raises:
        UserError: a folder has not answered.
    """
    slides = [path for path in paths if not is_remote(path)]
    folders = list(dict.fromkeys(os.path.dirname(path) or "." for path in slides))
    answered = threading.Semaphore(0)

    def ask() -> None:
        for folder in folders:
            with suppress(OSError, ValueError):  # a name that no folder can have
                os.stat(folder)
            answered.release()

    threading.Thread(target=ask, daemon=True).start()
    for folder in folders:
        if not answered.acquire(timeout=patience_s):
            there = sum((os.path.dirname(path) or ".") == folder for path in slides)
            raise UserError(
                f"{folder}, where {there} of the {len(slides)} slides of {manifest} lie, has not answered for "
                f"{patience_s:g} s; see to its share, or take their rows out until it is back"
            )
