"""Reading ahead over several slides: order, bounds, errors and what is closed when."""

import gc
import random
import signal
import threading
import time
from contextlib import contextmanager

import pytest

from workflow_scripts.core.status import SlideError
from workflow_scripts.encoders.read_ahead import NoAnswer, ReadAhead, Source


class Slide:
    """A source that remembers what was asked of it."""

    def __init__(self, items, read=lambda item: item):
        self.items, self.read = list(items), read
        self.taken, self.open, self.closed = [], False, False

    def source(self) -> Source:
        @contextmanager
        def opened():
            self.open = True
            try:
                yield self._read
            finally:
                self.open, self.closed = False, True

        def counted():
            for item in self.items:
                self.taken.append(item)
                yield item

        return Source(opened, counted())

    def _read(self, item):
        assert self.open, "read after it was closed"
        return self.read(item)


def test_every_slides_results_come_in_order():
    def slow(item):
        time.sleep(random.Random(item).random() * 0.005)
        return item * item

    slides = [Slide(range(start, start + count), slow) for start, count in ((0, 9), (9, 0), (9, 1), (10, 20))]
    with ReadAhead((slide.source() for slide in slides), threads=3) as reading:
        found = [list(reading.results()) for _ in slides]
        with pytest.raises(IndexError):
            next(reading.results())
    assert found == [[item * item for item in slide.items] for slide in slides]
    assert all(slide.closed for slide in slides)


def test_the_next_slide_is_read_before_this_one_ends():
    first, second = Slide(range(4)), Slide(range(50))
    with ReadAhead(iter([first.source(), second.source()]), threads=2, ahead=1) as reading:
        results = reading.results()
        next(results)
        assert second.taken == []
        next(results)
        assert second.taken == [0]
        assert list(results) == [2, 3]
        assert first.closed and second.open
        assert len(second.taken) == 3
        assert list(reading.results()) == list(range(50))


@pytest.mark.parametrize(("threads", "ahead"), [(1, 0), (2, 3), (4, 2)])
def test_only_so_many_are_kept(threads, ahead):
    slides = [Slide(range(7)) for _ in range(5)]
    with ReadAhead((slide.source() for slide in slides), threads, ahead) as reading:
        done = 0
        for _ in slides:
            for _ in reading.results():
                done += 1
                assert sum(len(slide.taken) for slide in slides) <= done + threads + ahead
    assert done == 35


def test_threads_work_at_once():
    meeting = threading.Barrier(2, timeout=10)  # breaks unless two calls run together
    slide = Slide(range(4), lambda item: meeting.wait())
    with ReadAhead([slide.source()], threads=2) as reading:
        assert len(list(reading.results())) == 4


def test_an_error_costs_its_slide_only():
    def fails_at_three(item):
        if item == 3:
            raise SlideError("read_error", "tile 3")
        return item

    slides, before = [Slide(range(50), fails_at_three), Slide(range(5, 8))], threading.active_count()
    with ReadAhead((slide.source() for slide in slides), threads=2) as reading:
        results = reading.results()
        assert [next(results) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(SlideError, match="tile 3"):
            next(results)
        assert slides[0].closed and len(slides[0].taken) < 10
        assert list(reading.results()) == [5, 6, 7]
    assert threading.active_count() == before


def test_a_slide_left_early_is_closed_once_nobody_reads_it():
    slide = Slide(range(20), lambda item: time.sleep(0.01))
    with ReadAhead([slide.source(), Slide([1]).source()], threads=3) as reading:
        results = reading.results()
        next(results)
        results.close()
        assert slide.closed
        assert list(reading.results()) == [1]


def test_leaving_the_block_closes_all():
    slides = [Slide(range(2)), Slide(range(9))]
    with ReadAhead((slide.source() for slide in slides), threads=2) as reading:
        next(reading.results())
    assert not any(slide.open for slide in slides)


def test_waiting_is_measured():
    slide = Slide(range(3), lambda item: time.sleep(0.05))
    with ReadAhead([slide.source()], threads=1, ahead=0) as reading:
        list(reading.results())
    assert reading.waited_s > 0.1


def test_one_that_does_not_answer_is_given_up_and_never_closed():
    answer = threading.Event()
    dead, other = Slide(range(9), lambda item: answer.wait() if item == 1 else item), Slide([5])
    with ReadAhead([dead.source(), other.source()], threads=2, give_up_s=0.2) as reading:
        results = reading.results()
        assert next(results) == 0
        with pytest.raises(NoAnswer):
            next(results)
    gc.collect()
    assert dead.open and not dead.closed, "a thread still reads it"
    answer.set()


def test_a_slide_of_which_one_region_fails_and_another_never_comes_is_given_up():
    answer = threading.Event()

    def read(item):
        if item == 1:
            answer.wait()
        raise SlideError("read_error", "tile 0")

    dead = Slide(range(9), read)
    with ReadAhead([dead.source()], threads=2, give_up_s=0.2) as reading, pytest.raises(NoAnswer):
        next(reading.results())
    assert dead.open
    answer.set()


def test_ctrl_c_waits_for_no_reader():
    answer = threading.Event()
    dead = Slide(range(9), lambda item: answer.wait())
    interrupt = threading.Timer(0.3, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), ReadAhead([dead.source()], threads=2) as reading:
            interrupt.start()
            next(reading.results())
    finally:
        signal.signal(signal.SIGINT, before)
    assert dead.open
    answer.set()
