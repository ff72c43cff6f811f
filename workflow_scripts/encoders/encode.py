"""Patches through an encoder: batches of uint8 pixels in, float16 features out."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager

import numpy as np
import torch

from workflow_scripts.core.errors import UserError
from workflow_scripts.encoders.preprocess import fit_pixels
from workflow_scripts.encoders.registry import Encoder


def exact_arithmetic() -> AbstractContextManager:
    """Within it, convolutions on a GPU take the same algorithm every time, and float32 means float32."""
    return torch.backends.cudnn.flags(benchmark=False, deterministic=True, allow_tf32=False)


def prepare(patches: torch.Tensor, encoder: Encoder) -> torch.Tensor:
    """uint8 `[n, p, p, 3]` to normalised float32 `[n, 3, input_px, input_px]`, on the device where they are."""
    pixels = patches.permute(0, 3, 1, 2).float() / 255  # channels last in memory already
    pixels = fit_pixels(pixels, encoder.input_px, encoder.fit, encoder.interpolation)
    mean = torch.tensor(encoder.mean, device=pixels.device).view(1, 3, 1, 1)
    std = torch.tensor(encoder.std, device=pixels.device).view(1, 3, 1, 1)
    return ((pixels - mean) / std).contiguous(memory_format=torch.channels_last)


def encode_batch(patches: np.ndarray, encoder: Encoder) -> np.ndarray:
    """One batch, uint8 `[n, p, p, 3]`, to float32 features `[n, D]`."""
    device = next(encoder.module.parameters()).device
    with (
        torch.inference_mode(),
        torch.autocast(device.type, dtype=torch.bfloat16, enabled=encoder.precision == "bfloat16"),
    ):
        pixels = prepare(torch.from_numpy(patches).to(device, non_blocking=True), encoder)
        return encoder.module(pixels).float().cpu().numpy()


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


def encode_groups(groups: Iterable[np.ndarray], encoder: Encoder, batch_size: int) -> Iterator[np.ndarray]:
    """Features of each group of patches, groups in order; batches are filled across groups.

    Args:
        groups: uint8 `[n, p, p, 3]` each, n may be 0.
        encoder: its module lies on the device that is to be used.
        batch_size: patches encoded at once.

    Yields:
        float16 `[n, D]` for each group.
    """
    waiting: list[int] = []  # sizes of the groups not yet yielded
    patches: list[np.ndarray] = []  # not yet encoded
    features = np.empty((0, encoder.dim), np.float16)  # encoded, not yet yielded
    for group in groups:
        waiting.append(len(group))
        patches.append(group)
        if sum(map(len, patches)) >= batch_size:
            joined = np.concatenate(patches)
            full = len(joined) - len(joined) % batch_size
            done = [_encode(joined[i : i + batch_size], encoder) for i in range(0, full, batch_size)]
            features = np.concatenate([features, *done])
            patches = [joined[full:].copy()]
        while waiting and waiting[0] <= len(features):
            size = waiting.pop(0)
            yield features[:size]
            features = features[size:]
    if any(map(len, patches)):
        features = np.concatenate([features, _encode(np.concatenate(patches), encoder)])
    for size in waiting:
        yield features[:size]
        features = features[size:]


def _encode(patches: np.ndarray, encoder: Encoder) -> np.ndarray:
    return to_half(encode_batch(np.ascontiguousarray(patches), encoder), encoder)


def to_device(encoder: Encoder, device: torch.device) -> Encoder:
    """Move the encoder's module, channels last, for that is how patches arrive."""
    encoder.module.to(device, memory_format=torch.channels_last)
    return encoder


def white_token(encoder: Encoder, patch_px: int) -> np.ndarray:
    """float16 `[D]`: the feature of a uniformly white patch, which stands for bare glass."""
    white = np.full((1, patch_px, patch_px, 3), 255, np.uint8)
    return _encode(white, encoder)[0]
