"""Signals that ask a job to end: it finishes its step, saves its state, and only then goes."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# SIGUSR1 is SLURM's warning before the time limit (sbatch --signal)
_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
_GRACE_S = 10.0


class Caught:
    """The first signal that came; None while there is none."""

    number: signal.Signals | None = None

    def leave(self) -> None:
        """End the process as the signal would have.

        Raises:
            SystemExit: with the exit status that shells give such an end.
        """
        if self.number is not None:
            raise SystemExit(128 + self.number)


@contextmanager
def caught_signals(first: bool = True) -> Iterator[Caught]:
    """Note the first SIGTERM, SIGINT or SIGUSR1 instead of dying of it; a second one ends the process.

    Args:
        first: whether this process saves the state. The others of a group go on working for it to finish its step, and
            end after some seconds.
    """
    caught = Caught()

    def note(number: int, _: FrameType | None) -> None:
        if caught.number is not None:
            os._exit(128 + number)
        caught.number = signal.Signals(number)
        if not first:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, _GRACE_S)

    before = {number: signal.signal(number, note) for number in _ENDING}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
