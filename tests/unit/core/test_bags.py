"""Bags are made when they are asked for, and no sooner."""

import numpy as np
import pytest

from workflow_scripts.core.bags import LazyBags


class Counted(LazyBags[int]):
    """Bags of so many rows as their key says; `read_keys` lists those that were made."""

    def __init__(self, keys):
        super().__init__(keys)
        self.read_keys = []

    def read(self, key):
        self.read_keys.append(key)
        return np.full((key, 2), key)

    def lengths(self):
        return np.array(self.keys)


def test_a_bag_is_made_each_time_it_is_asked_for_and_by_no_slice():
    bags = Counted(iter([1, 2, 3]))
    part = bags[1:]
    assert len(bags) == 3 and len(part) == 2 and isinstance(part, Counted) and not bags.read_keys
    assert part.lengths().tolist() == [2, 3] and bags.lengths().tolist() == [1, 2, 3] and not bags.read_keys
    np.testing.assert_array_equal(part[-1], np.full((3, 2), 3))
    assert part[-1] is not part[-1] and bags.read_keys == [3, 3, 3]
    assert [len(bag) for bag in bags[::-1]] == [3, 2, 1] and bags[np.int64(0)].shape == (1, 2)
    with pytest.raises(IndexError):
        part[2]
