"""Patches through an encoder: batches of uint8 pixels in, float16 features out."""

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from functools import cache
from typing import NamedTuple

import numpy as np
import torch

from workflow_scripts.config.encoder_facts import Triple
from workflow_scripts.core.errors import UserError
from workflow_scripts.encoders.preprocess import fit_pixels
from workflow_scripts.encoders.registry import Encoder

_AHEAD = 2  # batches that a GPU computes while the host prepares the next and fetches the last


def exact_arithmetic() -> AbstractContextManager:
    """Within it, convolutions on a GPU take the same algorithm every time, and float32 means float32."""
    # `enabled` is False by default here, and slow
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)


def prepare(patches: torch.Tensor, encoder: Encoder) -> torch.Tensor:
    """uint8 `[n, p, p, 3]` to normalised float32 `[n, 3, input_px, input_px]`, on the device where they are."""
    pixels = patches.permute(0, 3, 1, 2).float() / 255  # channels last in memory already
    pixels = fit_pixels(pixels, encoder.input_px, encoder.fit, encoder.interpolation)
    mean, std = _normalisation(encoder.mean, encoder.std, pixels.device)
    return ((pixels - mean) / std).contiguous(memory_format=torch.channels_last)


@cache
def _normalisation(mean: Triple, std: Triple, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and deviation `[1, 3, 1, 1]` on the device; a copy to a GPU for each batch would wait for all before it."""
    return torch.tensor(mean, device=device).view(1, 3, 1, 1), torch.tensor(std, device=device).view(1, 3, 1, 1)


class _Running(NamedTuple):
    """A batch on its way: its features on the host once `done` has happened."""

    features: torch.Tensor
    done: torch.cuda.Event | None


def _start(patches: np.ndarray, encoder: Encoder) -> _Running:
    """Start encoding one batch; on a GPU without waiting for anything."""
    device, count = encoder.device, len(patches)
    if encoder.fixed_batch and count < encoder.fixed_batch:
        patches = np.pad(patches, ((0, encoder.fixed_batch - count), (0, 0), (0, 0), (0, 0)))
    pixels = torch.from_numpy(patches)
    if device.type == "cuda":
        pixels = pixels.pin_memory().to(device, non_blocking=True)
    with (
        torch.inference_mode(),
        torch.autocast(device.type, dtype=torch.bfloat16, enabled=encoder.precision == "bfloat16"),
    ):
        features = encoder.module(prepare(pixels, encoder))[:count].float()
    if device.type != "cuda":
        return _Running(features, None)
    host = torch.empty(features.shape, dtype=features.dtype, pin_memory=True)
    host.copy_(features, non_blocking=True)
    done = torch.cuda.Event()
    done.record()
    return _Running(host, done)


def _finish(batch: _Running) -> np.ndarray:
    if batch.done is not None:
        batch.done.synchronize()
    return batch.features.numpy()


def encode_batch(patches: np.ndarray, encoder: Encoder) -> np.ndarray:
    """One batch, uint8 `[n, p, p, 3]`, to float32 features `[n, D]`."""
    return _finish(_start(patches, encoder))


def to_half(features: np.ndarray, encoder: Encoder) -> np.ndarray:
    """Features as float16.

    Raises:
        UserError: they are not finite, or beyond float16's range.
    """
    half = features.astype(np.float16)
    if not np.isfinite(half).all():
        raise UserError(
            f"the encoder {encoder.facts['name']} gave features that are no finite float16 numbers; "
            "check features.weights, features.mean and features.std"
        )
    return half


def encode_batches(batches: Iterable[np.ndarray], encoder: Encoder) -> Iterator[np.ndarray]:
    """float16 `[n, D]` of each batch uint8 `[n, p, p, 3]`; a GPU is always some batches ahead of what is yielded."""
    ahead = _AHEAD if encoder.device.type == "cuda" else 0
    running: deque[_Running] = deque()
    for batch in batches:
        running.append(_start(batch, encoder))
        if len(running) > ahead:
            yield to_half(_finish(running.popleft()), encoder)
    for last in running:
        yield to_half(_finish(last), encoder)


def _batches(groups: Iterable[np.ndarray], batch_size: int) -> Iterator[np.ndarray]:
    """The groups' patches in batches of `batch_size`; the last may be smaller."""
    waiting: list[np.ndarray] = []
    for group in groups:
        waiting.append(group)
        if sum(map(len, waiting)) < batch_size:
            continue
        joined = np.concatenate(waiting)
        full = len(joined) - len(joined) % batch_size
        yield from (joined[start : start + batch_size] for start in range(0, full, batch_size))
        waiting = [joined[full:].copy()]
    if any(map(len, waiting)):
        yield np.concatenate(waiting)


def encode_groups(groups: Iterable[np.ndarray], encoder: Encoder, batch_size: int) -> Iterator[np.ndarray]:
    """Features of each group of patches, groups in order; batches are filled across groups.

    Args:
        groups: uint8 `[n, p, p, 3]` each, n may be 0.
        encoder: its module lies on the device that is to be used.
        batch_size: patches encoded at once.

    Yields:
        float16 `[n, D]` for each group.
    """
    sizes: deque[int] = deque()  # of the groups not yet yielded

    def counted() -> Iterator[np.ndarray]:
        for group in groups:
            sizes.append(len(group))
            yield group

    features = np.empty((0, encoder.dim), np.float16)  # encoded, not yet yielded
    for batch in encode_batches(_batches(counted(), batch_size), encoder):
        features = np.concatenate([features, batch])
        while sizes and sizes[0] <= len(features):
            size = sizes.popleft()
            yield features[:size]
            features = features[size:]
    for size in sizes:
        yield features[:size]
        features = features[size:]


def white_token(encoder: Encoder, patch_px: int) -> np.ndarray:
    """float16 `[D]`: the feature of a uniformly white patch, which stands for bare glass."""
    white = np.full((1, patch_px, patch_px, 3), 255, np.uint8)
    return to_half(encode_batch(white, encoder), encoder)[0]
