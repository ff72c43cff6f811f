"""What a step is given: regions, crops, stochastic depth and prototypes, drawn on the host from streams of the step.

Every stream is seeded by its purpose and the step, so it does not matter when, where or in which thread a step's inputs
are drawn.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from queue import Empty, Queue
from typing import NamedTuple, NoReturn, TypeVar

import torch
from torch import Tensor

from workflow_scripts.config import PretrainRun
from workflow_scripts.core.seeds import derive_seed
from workflow_scripts.slpd.crops import allowed_windows, fuller_windows, sample_keep, sample_windows
from workflow_scripts.slpd.targets import PrototypeTargets, TargetRows, target_rows
from workflow_scripts.slpd.tokens import TokenData, on_device

_Item = TypeVar("_Item")


class StepInputs(NamedTuple):
    """Inputs of one step.

    Attributes:
        batch: int64 `[B]` its regions; always on the CPU.
        windows: token indices `[V, B, s, s]` of the crops, one tensor a size, global crops first.
        keep: stochastic depth of the student, float32 `[depth, 2, V, B]`, see `sample_keep`; None keeps all.
        rows: which prototypes the regions distil; None without.
    """

    batch: Tensor
    windows: list[Tensor]
    keep: Tensor | None
    rows: TargetRows | None

    def pinned(self) -> "StepInputs":
        """The same in page-locked memory, from where a copy to a GPU does not hold up the host."""
        return self._each(Tensor.pin_memory)

    def on(self, device: torch.device) -> "StepInputs":
        """The same on the device, but the batch."""
        return self._each(partial(on_device, device))

    def cloned(self) -> "StepInputs":
        """Copies of all tensors but the batch."""
        return self._each(Tensor.clone)

    def _each(self, change: Callable[[Tensor], Tensor]) -> "StepInputs":
        keep = None if self.keep is None else change(self.keep)
        rows = None if self.rows is None else TargetRows(*map(change, self.rows))
        return StepInputs(self.batch, [change(window) for window in self.windows], keep, rows)

    def tensors(self) -> list[Tensor]:
        """All tensors but the batch, in the same order for every step."""
        return [*self.windows, *([] if self.keep is None else [self.keep]), *(self.rows or [])]


class Draws:
    """Draws the inputs of any step.

    Args:
        settings: the run's settings.
        data: tokens of all N regions.
        batch: B, regions a step.
    """

    def __init__(self, settings: PretrainRun, data: TokenData, batch: int) -> None:
        self.settings, self.data, self.batch = settings, data, batch
        if settings.crops.min_tissue > 0 and data.tissue is None:
            raise ValueError("crops.min_tissue needs the tissue fraction of the tokens")
        self.steps_per_epoch = len(data) // batch  # the last partial batch is left out, as published
        crops = settings.crops
        self.sizes = [crops.global_size] * crops.global_count + [crops.local_size] * crops.local_count

    def steps(self, first: int, last: int, targets: PrototypeTargets | None) -> Iterator[StepInputs]:
        """Inputs of the steps `first` to before `last`, one after another."""
        epoch = -1
        for step in range(first, last):
            if step // self.steps_per_epoch != epoch:
                epoch = step // self.steps_per_epoch
                order = self._order(epoch)
            yield self.draw(step, order[step - epoch * self.steps_per_epoch], targets)

    def draw(self, step: int, batch: Tensor, targets: PrototypeTargets | None) -> StepInputs:
        """Inputs of step `step` with the regions `batch`."""
        rows = None if targets is None else target_rows(targets, batch, self.settings.loss)
        return StepInputs(batch, self._windows(batch, step), self._keep(step), rows)

    def _order(self, epoch: int) -> Tensor:
        """Regions of every step of an epoch, int64 `[steps, batch]`."""
        shuffle = torch.Generator().manual_seed(derive_seed(self.settings.seed, "epoch", epoch))
        order = torch.randperm(len(self.data), generator=shuffle)
        return order[: self.steps_per_epoch * self.batch].reshape(-1, self.batch)

    def _allowed(self, batch: Tensor, size: int) -> Tensor:
        """Windows that crops of a size may take, bool `[B, windows]`."""
        square, least = (self.data.grid, self.data.grid), self.settings.crops.min_tissue
        allowed = allowed_windows(self.data.valid[batch].unflatten(1, square), size)
        if self.data.tissue is None or least == 0:
            return allowed
        return fuller_windows(allowed, self.data.tissue[batch].unflatten(1, square), size, least)

    def _windows(self, batch: Tensor, step: int) -> list[Tensor]:
        generator = torch.Generator().manual_seed(derive_seed(self.settings.seed, "crops", step))
        grid, flip = self.data.grid, self.settings.crops.flip
        # once a size: counting tokens takes longer than all the rest
        allowed = {size: self._allowed(batch, size) for size in set(self.sizes)}
        windows = [sample_windows(allowed[size], grid, size, flip, generator) for size in self.sizes]
        count = self.settings.crops.global_count
        groups = [windows[:count], windows[count:]]
        if self.settings.crops.local_size == self.settings.crops.global_size:
            groups = [windows]
        return [torch.stack(group) for group in groups if group]

    def _keep(self, step: int) -> Tensor | None:
        generator = torch.Generator().manual_seed(derive_seed(self.settings.seed, "drop path", step))
        model = self.settings.model
        return sample_keep(model.drop_path, model.depth, len(self.sizes), self.batch, generator)


class Ahead(Iterator[_Item]):
    """Items of an iterable, of which a thread of its own makes up to two before they are asked for.

    Use it in a `with` block, at whose end the thread ends. What making an item raises is raised in its turn.
    """

    def __init__(self, items: Iterable[_Item]) -> None:
        self._made: Queue[Callable[[], _Item]] = Queue(maxsize=1)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._work, args=(items,), name="inputs", daemon=True)

    def __enter__(self) -> "Ahead[_Item]":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        while self._thread.is_alive():  # it may wait to hand over an item that nobody wants any more
            try:
                self._made.get(timeout=0.01)
            except Empty:
                continue

    def __next__(self) -> _Item:
        return self._made.get()()

    def _work(self, items: Iterable[_Item]) -> None:
        try:
            for item in items:
                self._made.put(partial(_given, item))
                if self._closed.is_set():
                    return
            error: BaseException = StopIteration()
        except BaseException as raised:  # any: the caller would wait for ever
            error = raised
        while not self._closed.is_set():  # asked again, it ends again
            self._made.put(partial(_raised, error))


def _given(item: _Item) -> _Item:
    return item


def _raised(error: BaseException) -> NoReturn:
    raise error
