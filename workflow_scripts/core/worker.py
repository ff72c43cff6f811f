"""A process that does one thing after another, so that what ends it, or never comes back, costs that one thing."""

import multiprocessing
import signal
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import Any

from workflow_scripts.core.launch import end_with_parent

_START_S = 600.0  # that are waited for an interpreter and its imports on a busy disk


class Died(Exception):
    """The process came to an end while it did something.

    Attributes:
        signal: the name of the signal that ended it, empty where it ended by itself.
    """

    def __init__(self, exitcode: int) -> None:
        self.signal = signal.Signals(-exitcode).name if exitcode < 0 else ""
        by = f"signal {self.signal}" if self.signal else f"exit status {exitcode}"
        super().__init__(f"the process that read it was ended by {by}")


def _serve(connection: Connection, start: Callable[..., Callable[[Any], Any]], args: tuple[Any, ...]) -> None:
    end_with_parent(signal.SIGKILL)
    work = start(*args)
    with suppress(EOFError, ConnectionError):  # the other process has ended, or waits no more
        connection.send((None, None))
        while True:
            item = connection.recv()
            try:
                answer: tuple[Any, Exception | None] = (work(item), None)
            except Exception as error:
                answer = (None, error)
            connection.send(answer)


class Worker:
    """Does things in a process of its own, which is started when it is needed, and anew once it has ended.

    Args:
        start: called in the process as it starts; gives the function that does one thing. It is imported there by name.
        args: of `start`.
    """

    def __init__(self, start: Callable[..., Callable[[Any], Any]], *args: Any) -> None:
        self._start, self._args = start, args
        self._process: multiprocessing.process.BaseProcess | None = None
        self._connection: Connection | None = None

    def do(self, item: Any, seconds: float) -> Any:
        """What `start`'s function makes of `item`.

        Args:
            item: handed over by pickle.
            seconds: that are waited for it at most.

        Raises:
            Died: the process came to an end.
            TimeoutError: nothing came in time; the process is given up, for one that waits for a dead share cannot even
                be killed.
            Exception: what the function raised.
        """
        try:
            connection = self._connection or self._launch()
            connection.send(item)
            result, error = self._answer(connection, seconds)
        except (EOFError, ConnectionError):
            raise Died(self.stop()) from None
        if error is not None:
            raise error
        return result

    def _answer(self, connection: Connection, seconds: float) -> tuple[Any, Exception | None]:
        if not connection.poll(seconds):
            self.stop()
            raise TimeoutError
        answer: tuple[Any, Exception | None] = connection.recv()
        return answer

    def _launch(self) -> Connection:
        # a new interpreter: libraries that read slides have threads, which a copy of this process would lack
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, self._start, self._args), daemon=True)
        # Ctrl-C reaches the process that waits for this one, too, which ends it; it is never asked itself. Starting the
        # tracker of multiprocessing lets the signal through again, so that it has to run before.
        resource_tracker.ensure_running()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        self._answer(self._connection, _START_S)  # that it has started, which is nothing's own time
        return self._connection

    def stop(self) -> int:
        """End the process; its exit status, below 0 where a signal has ended it."""
        process, self._process, connection, self._connection = self._process, None, self._connection, None
        if process is None or connection is None:
            return 0
        connection.close()
        process.join(1)
        if process.is_alive():
            process.kill()
            process.join(1)
        return process.exitcode if process.exitcode is not None else -signal.SIGKILL
