"""Regions of one slide after another, read in threads before the encoder asks for them."""

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack
from typing import Generic, NamedTuple, TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Source(NamedTuple, Generic[_Item, _Result]):
    """Items of one slide.

    Attributes:
        open: context manager of the function from an item to its result, which several threads call at once.
        items: in the order in which the results are wanted.
    """

    open: Callable[[], AbstractContextManager[Callable[[_Item], _Result]]]
    items: Iterable[_Item]


class NoAnswer(Exception):
    """A reader has not answered in time, as on a dead share."""


# Sources of which a thread reads that may never come back; closing one, as forgetting it would, could end the process.
_LOST: list["_Opened"] = []


class _Opened(Generic[_Item, _Result]):
    def __init__(self, source: Source[_Item, _Result]) -> None:
        self.stack = ExitStack()
        self.read = self.stack.enter_context(source.open())
        self.items = iter(source.items)
        self.all_taken = False
        self.futures: deque[Future[_Result]] = deque()

    def close(self, give_up_s: float | None) -> None:
        """Close the source, once nobody reads it any more.

        Raises:
            NoAnswer: somebody still does.
        """
        if wait([future for future in self.futures if not future.cancel()], give_up_s).not_done:
            raise NoAnswer
        self.stack.close()


class ReadAhead(Generic[_Item, _Result]):
    """Results of many sources, source by source, each in the order of its items.

    The regions of the next slide are read while the last ones of this are encoded, so the encoder does not wait where a
    slide ends. Use it in a `with` block.

    Args:
        sources: taken one after the other, when their turn comes.
        threads: calls at once.
        ahead: results kept beyond those being read; memory holds `threads + ahead` results at most.
        give_up_s: seconds after which a result that is waited for is given up.

    Attributes:
        waited_s: time that `results` has waited for a result, seconds.
    """

    def __init__(
        self, sources: Iterable[Source[_Item, _Result]], threads: int, ahead: int = 2, give_up_s: float | None = None
    ) -> None:
        self._sources = iter(sources)
        self._limit, self._give_up_s = threads + ahead, give_up_s
        self._pool = ThreadPoolExecutor(threads)
        self._opened: deque[_Opened[_Item, _Result]] = deque()  # the first is the one whose results are taken
        self._under_way = 0
        self._lost = False
        self.waited_s = 0.0

    def __enter__(self) -> "ReadAhead[_Item, _Result]":
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._lost or error is KeyboardInterrupt:  # which ends the process, and waits for nobody
            _LOST.extend(self._opened)
            return
        while self._opened:
            self._close_first()
        self._pool.shutdown(wait=True)

    def _close_first(self) -> None:
        """Close the source whose results are taken; where that does not end, it stays as it is."""
        source = self._opened[0]
        self._under_way -= len(source.futures)
        try:
            source.close(self._give_up_s)
        except BaseException:  # NoAnswer, or Ctrl-C while it is waited for
            self._lost = True
            raise
        self._opened.popleft()

    def _top_up(self) -> None:
        while self._under_way < self._limit:
            if not self._opened or self._opened[-1].all_taken:
                source = next(self._sources, None)
                if source is None:
                    return
                self._opened.append(_Opened(source))
            last = self._opened[-1]
            for item in last.items:
                last.futures.append(self._pool.submit(last.read, item))
                self._under_way += 1
                break
            else:
                last.all_taken = True

    def results(self) -> Generator[_Result, None, None]:
        """Results of the next source. Where they are not taken to the end, the rest of the source is left out.

        Raises:
            IndexError: there is no further source.
            NoAnswer: a result did not come in time, or one that is not wanted any more does not end; nothing more
                can be had from this object.
            Exception: what reading an item raised, in its turn.
        """
        self._top_up()
        source = self._opened[0]
        try:
            while source.futures:
                begun = time.monotonic()
                future = source.futures.popleft()
                self._under_way -= 1
                result = self._result(future)
                self.waited_s += time.monotonic() - begun
                self._top_up()
                yield result
        finally:
            if not self._lost:
                self._close_first()

    def _result(self, future: Future[_Result]) -> _Result:
        """What reading an item gave or raised, waited for as long as may be."""
        try:
            if not wait([future], self._give_up_s).done:
                raise NoAnswer
        except BaseException:  # or Ctrl-C while it is waited for
            self._lost = True
            raise
        return future.result()
