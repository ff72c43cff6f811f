"""Bags that are made when they are asked for, since those of a whole cohort may be too many to hold."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Generic, Self, TypeVar, overload

import numpy as np

_Key = TypeVar("_Key")


class LazyBags(Sequence[np.ndarray], ABC, Generic[_Key]):
    """n matrices `[m_i, R]`, each made anew from its key whenever it is asked for; a slice makes none."""

    def __init__(self, keys: Iterable[_Key]) -> None:
        """One bag a key, in that order."""
        self.keys = list(keys)

    def __len__(self) -> int:
        return len(self.keys)

    @overload
    def __getitem__(self, index: int) -> np.ndarray: ...

    @overload
    def __getitem__(self, index: slice) -> Self: ...

    def __getitem__(self, index: int | slice) -> np.ndarray | Self:
        if isinstance(index, slice):
            part = copy.copy(self)
            part.keys = self.keys[index]
            return part
        return self.read(self.keys[index])

    @abstractmethod
    def read(self, key: _Key) -> np.ndarray:
        """The bag of a key, `[m, R]`."""

    @abstractmethod
    def lengths(self) -> np.ndarray:
        """Rows of each bag, int64 `[n]`, told without making the bags."""
