"""Rows on their way to a device through a fixed ring of host blocks: threads fill some while others are copied.

Page-locked memory is what a GPU copies from while the host goes on, and allocating it is slow (about 1 GB/s), so the
blocks are allocated once and not for every piece of the data.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

Read = Callable[[np.ndarray, int], None]


class Ring:
    """Blocks of rows on the host.

    Args:
        rows: of a block.
        like: rows `[N, ...]` of the kind that is sent.
        pin: page-locked, as copies to a GPU want them.
        blocks: of the ring; at two, one is filled while the other is copied.
    """

    def __init__(self, rows: int, like: Tensor, pin: bool, blocks: int = 3) -> None:
        shape = (rows, *like.shape[1:])
        self.blocks = [torch.empty(shape, dtype=like.dtype, pin_memory=pin) for _ in range(blocks)]
        self._copied: list[torch.cuda.Event | None] = [None] * blocks
        self._rows = rows

    def send(self, target: Tensor, read: Read) -> None:
        """Fill `target`, rows `[N, ...]` on any device; its rows are there when this returns.

        Args:
            target: contiguous.
            read: writes the rows from a number on into an array of some rows; called in threads, for each row once.

        Raises:
            Exception: what `read` raised.
        """
        starts = range(0, len(target), self._rows)
        copies = torch.cuda.Stream(target.device) if target.is_cuda else None
        if copies:
            copies.wait_stream(torch.cuda.current_stream(target.device))
        with ThreadPoolExecutor(len(self.blocks)) as pool, torch.cuda.stream(copies):
            ahead = len(self.blocks)
            filled = [pool.submit(self._fill, number, target, read) for number in range(min(ahead, len(starts)))]
            for number, start in enumerate(starts):
                rows = filled[number].result()
                target[start : start + len(rows)].copy_(rows, non_blocking=True)
                self._copied[number % ahead] = copies.record_event() if copies else None
                if number + ahead < len(starts):
                    filled.append(pool.submit(self._fill, number + ahead, target, read))
        if copies:
            copies.synchronize()

    def _fill(self, number: int, target: Tensor, read: Read) -> Tensor:
        """Read the rows of the `number`-th block of the data, once what its place held before has been copied."""
        place, start = number % len(self.blocks), number * self._rows
        if event := self._copied[place]:
            event.synchronize()
        rows = self.blocks[place][: min(self._rows, len(target) - start)]
        read(rows.numpy(), start)
        return rows
