"""Signals whose handlers must not run inside the main thread."""

import _thread
import signal


def answer_in_thread(number: signal.Signals) -> None:
    """Let the present handler of a signal run in a thread of its own; the default and ignoring stay as they are.

    Python runs a handler between two instructions of the main thread. One that takes a lock which the main thread
    holds at that moment waits for ever, and so may Snakemake's handler of SIGTERM (JobScheduler.exit_gracefully):
    the run then does not end, and no second SIGTERM ends it.

    Args:
        number: the signal; call it from the main thread, once its handler is set.
    """
    handler = signal.getsignal(number)
    if callable(handler):
        # threading.Thread takes a lock as it starts, which the main thread may hold as well
        signal.signal(number, lambda *told: _thread.start_new_thread(handler, told))
