"""Tokens of all regions, handed out in batches on the training device from wherever they fit.

`device`: all of them on the GPU (in memory, on a CPU). `pinned`: in host memory, from where batches go to the GPU by
way of page-locked (pinned) blocks. `mapped`: in their files, read when asked for. All three give the same bits. On a
GPU no batch waits for the device: torch hands a pinned block out again only once the copy from it is done, and one of
the same size for every batch. All tokens go to a GPU through a ring of blocks of our own (`ring`).
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from workflow_scripts.core.entry import log
from workflow_scripts.core.feature_store import FeatureStore, load_features
from workflow_scripts.slpd.glass import without_glass
from workflow_scripts.slpd.memory import available_memory
from workflow_scripts.slpd.ring import Ring

Placement = Literal["auto", "device", "pinned", "mapped"]
_SHARE = 0.6  # of free memory that features may take; the rest is for training
_BLOCK_BYTES = 64 * 2**20  # of those through which tokens go to a GPU: some slides each, for as many threads
_WHERE = {
    "device": "in the memory of the training device",
    "pinned": "in host memory, since they do not fit on the GPU",
    "mapped": "read from their files as needed, since they do not fit in memory",
}


class TokenSource(Protocol):
    """Rows `[g*g, D]` of N regions, wherever they are."""

    def __len__(self) -> int: ...

    @property
    def dim(self) -> int:
        """D."""

    def take(self, index: Tensor) -> Tensor:
        """Rows of the regions int64 `[B]` (CPU) on the training device, `[B, g*g, D]`."""

    def span(self, start: int, stop: int) -> Tensor:
        """Rows `start` to `stop` on the training device."""


def on_device(device: torch.device, rows: Tensor) -> Tensor:
    """A CPU tensor on the device, by way of a pinned block where that is a GPU; no wait, no copy on a CPU."""
    return rows.contiguous().pin_memory().to(device, non_blocking=True) if device.type == "cuda" else rows


class InMemory:
    """Rows `[N, g*g, D]` of any float dtype on the training device, or on the host of a GPU."""

    def __init__(self, tokens: Tensor, device: torch.device | None = None) -> None:
        self.tokens = tokens
        self.device = tokens.device if device is None else device
        # by type, since "cuda" and "cuda:0" name one device and are not equal; a process has one GPU
        self._resident = tokens.device.type == self.device.type
        # one long row a region: with [N, g*g, D] a gather on the CPU is 500 times slower
        self._flat = tokens.flatten(1)

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def dim(self) -> int:
        return self.tokens.shape[-1]

    def take(self, index: Tensor) -> Tensor:
        shape = (len(index), *self.tokens.shape[1:])
        if self._resident:
            return self._flat.index_select(0, on_device(self.device, index)).view(shape)
        block = torch.empty(len(index), self._flat.shape[1], dtype=self._flat.dtype, pin_memory=True)
        torch.index_select(self._flat, 0, index, out=block)
        return block.to(self.device, non_blocking=True).view(shape)

    def span(self, start: int, stop: int) -> Tensor:
        rows = self.tokens[start:stop]
        return rows if self._resident else on_device(self.device, rows)


class Mapped:
    """Rows in the features' files; those of a batch are copied from the mapped files."""

    def __init__(self, store: FeatureStore, device: torch.device) -> None:
        self.store = store
        self.device = device

    def __len__(self) -> int:
        return len(self.store.region_ids)

    @property
    def dim(self) -> int:
        return self.store.dim

    def take(self, index: Tensor) -> Tensor:
        shape = (len(index), self.store.grid**2, self.store.dim)
        block = torch.empty(shape, dtype=torch.float16, pin_memory=self.device.type == "cuda")
        self.store.pick(index.numpy(), block.numpy())
        return block.to(self.device, non_blocking=True)

    def span(self, start: int, stop: int) -> Tensor:
        return self.take(torch.arange(start, stop))


class TokenData:
    """Tokens of all N regions and which of them count.

    Attributes:
        source: where the tokens are.
        valid: bool `[N, g*g]` on the CPU, False where a token is padding, unreadable or hidden.
        all_valid: no token is False.
        grid: g.
        device: where batches are handed out.
        tissue: float32 `[N, g*g]` on the CPU, tissue fraction of each valid token's patch; None where nobody asks.
        waited_s: seconds that `take` has taken so far.
    """

    def __init__(
        self,
        source: TokenSource | Tensor,
        valid: Tensor,
        grid: int,
        device: torch.device | None = None,
        tissue: Tensor | None = None,
    ) -> None:
        if isinstance(source, Tensor):
            source = InMemory(source)
            device = source.device
        self.source = source
        self.valid = valid.cpu()
        self.all_valid = bool(self.valid.all())
        self.grid = grid
        self.tissue = None if tissue is None else tissue.cpu() * self.valid
        self.waited_s = 0.0
        self.device = torch.device("cpu") if device is None else device
        # flags are few: they stay on the device whole
        self._flags = self.valid.to(self.device)

    @classmethod
    def from_arrays(cls, tokens: np.ndarray, read_ok: np.ndarray, device: torch.device) -> "TokenData":
        """Resident on `device`, from features `[N, g, g, D]` and flags bool `[N, g, g]`."""
        flat = torch.from_numpy(tokens).flatten(1, 2).to(device)
        return cls(InMemory(flat), torch.from_numpy(read_ok).flatten(1), tokens.shape[1], device)

    def seen_through(self, visible: Tensor) -> "TokenData":
        """The same tokens, of which those count that are True in `visible`, bool `[N, g, g]`."""
        return TokenData(self.source, visible.flatten(1), self.grid, self.device, self.tissue)

    def __len__(self) -> int:
        return len(self.source)

    @property
    def dim(self) -> int:
        """D, the width of a token."""
        return self.source.dim

    def take(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens `[B, g*g, D]` and flags bool `[B, g*g]` of the regions `index`, int64 `[B]` on the CPU.

        Both are on `device`; on a GPU the host does not wait for it.
        """
        began = time.perf_counter()
        found = self.source.take(index), self._flags.index_select(0, on_device(self.device, index))
        self.waited_s += time.perf_counter() - began
        return found

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """All regions in their order, as `take` gives them, `size` at a time."""
        for start in range(0, len(self), size):
            stop = min(start + size, len(self))
            yield self.source.span(start, stop), self._flags[start:stop]


def choose_placement(nbytes: int, device: torch.device) -> Literal["device", "pinned", "mapped"]:
    """The fastest placement that `nbytes` of tokens fit in, with room left for training."""
    if device.type == "cuda" and nbytes <= _SHARE * torch.cuda.mem_get_info(device)[0]:
        return "device"
    if nbytes <= _SHARE * available_memory():
        return "pinned" if device.type == "cuda" else "device"
    return "mapped"


def _read_to(store: FeatureStore, device: torch.device) -> Tensor:
    """All tokens `[N, g*g, D]` in the memory of the device; on the way to a GPU, a few blocks of them on the host."""
    shape = (len(store.region_ids), store.grid**2, store.dim)
    tokens = torch.empty(shape, dtype=torch.float16, device=device)
    if device.type == "cpu":
        store.read_into(tokens.numpy())
    else:
        rows = max(1, _BLOCK_BYTES * len(tokens) // store.nbytes)
        Ring(min(rows, len(tokens)), tokens, pin=True).send(tokens, store.read_into)
    return tokens


def open_tokens(
    folder: Path | str,
    slide_ids: list[str],
    device: torch.device,
    mask_glass: bool = False,
    placement: Placement = "auto",
    with_tissue: bool = False,
) -> tuple[FeatureStore, TokenData]:
    """Features of the given slides as the trainer wants them, and ids and counts of their regions.

    Args:
        folder: `features/{encoder}`.
        slide_ids: which slides, in which order; those without regions are left out.
        device: where batches are wanted.
        mask_glass: hide tokens without tissue, see `without_glass`.
        placement: where tokens are kept; `auto` chooses, see `choose_placement`.
        with_tissue: keep the tissue fraction of the tokens, for `crops.min_tissue`.

    Raises:
        UserError: see `load_features`.
    """
    store = load_features(folder, slide_ids)
    if placement == "auto":
        placement = choose_placement(store.nbytes, device)
    if placement == "mapped":
        source: TokenSource = Mapped(store, device)
    else:
        source = InMemory(_read_to(store, device if placement == "device" else torch.device("cpu")), device)
    log.info("%.2f GB of features, %s", store.nbytes / 1e9, _WHERE[placement])
    if placement == "mapped" and any(rows.offsets is None for rows in store.rows):
        log.warning("some feature files are compressed, which makes training slow; delete them to have them made anew")
    valid = torch.from_numpy(store.read_ok)
    if mask_glass:
        valid = without_glass(valid, torch.from_numpy(store.tissue))
    tissue = torch.from_numpy(store.tissue).flatten(1) if with_tissue else None
    return store, TokenData(source, valid.flatten(1), store.grid, device, tissue)
