"""Reading ahead: order, bounds and errors."""

import threading
import time

import pytest

from workflow_scripts.encoders.region import ReadFailure
from workflow_scripts.encoders.slide_features import Counts, read_ahead


def test_order_is_kept_whoever_is_first():
    def slow_if_even(item: int) -> int:
        time.sleep(0.01 * (item % 2 == 0))
        return item * item

    assert list(read_ahead(slow_if_even, range(20), threads=4)) == [item * item for item in range(20)]


def test_only_so_many_are_taken_ahead():
    taken = []

    def items():
        for item in range(100):
            taken.append(item)
            yield item

    results = read_ahead(lambda item: item, items(), threads=2, ahead=3)
    for position in range(10):
        assert next(results) == position
        assert len(taken) <= position + 1 + 5
    results.close()
    assert len(taken) < 20


def test_threads_work_at_once():
    meeting = threading.Barrier(2, timeout=10)  # breaks unless two calls run together
    assert len(list(read_ahead(lambda item: meeting.wait(), range(4), threads=2))) == 4


def test_an_error_comes_in_its_turn_and_ends_all_threads():
    def fails_at_three(item: int) -> int:
        if item == 3:
            raise ReadFailure("tile 3")
        return item

    before = threading.active_count()
    results = read_ahead(fails_at_three, range(50), threads=2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ReadFailure, match="tile 3"):
        next(results)
    assert threading.active_count() == before


def test_fraction_without_patches_is_zero():
    assert Counts().unreadable_fraction == 0
    assert Counts(inside=8, unreadable=2).unreadable_fraction == 0.25
