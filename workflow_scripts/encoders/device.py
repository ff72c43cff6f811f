"""An encoder on the device that it is to run on, in the arithmetic and the batches that suit it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import cast

import numpy as np
import torch

from workflow_scripts.core.arithmetic import multiplies_bfloat16
from workflow_scripts.core.entry import log
from workflow_scripts.core.errors import UserError
from workflow_scripts.encoders.encode import encode_batch, encode_batches
from workflow_scripts.encoders.registry import Encoder

# tests/benchmarks/encoding.py: on CPUs a ViT is fastest at 8 to 16 patches, for their activations stay in the cache
CPU_BATCH = 16
_GPU_BATCHES = (32, 64, 128, 256, 512)
_GAIN = 1.05  # a larger batch must be faster by this to be worth its memory


def _keeps_sums_in_float32(module: torch.nn.Module) -> bool:
    """Whether bfloat16 products are known to leave a network's running sums in float32.

    A vision transformer's do: its residual stream is float32 throughout (mean cosine with float32 above 0.9999). A
    convolutional network hands bfloat16 on from layer to layer: EfficientNet-Lite0's features of tissue are 0.995
    alike.
    """
    from timm.models.eva import Eva
    from timm.models.vision_transformer import VisionTransformer

    return any(isinstance(layer, VisionTransformer | Eva) for layer in module.modules())


@contextmanager
def out_of_memory_told() -> Iterator[None]:
    """Within it, a GPU that is out of memory is told as a sentence.

    Raises:
        UserError: in place of torch's error.
    """
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        raise UserError("the GPU's memory does not hold a batch of patches; set features.batch_size to less") from error


def to_device(encoder: Encoder, device: torch.device) -> Encoder:
    """The encoder on a device, its `auto` precision resolved; memory is channels last, for that is how patches arrive.

    In bfloat16 the weights of products are stored as such, which spares their conversion in every batch. Norms, sums
    along the residual stream and softmax stay in float32 (autocast).
    """
    module = encoder.module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in stubs
    encoder = replace(encoder, module=module)
    if encoder.precision == "auto":
        fits = multiplies_bfloat16(device.type) and _keeps_sums_in_float32(encoder.module)
        encoder = replace(encoder, precision="bfloat16" if fits else "float32")
    if encoder.precision == "bfloat16":
        for layer in encoder.module.modules():
            if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d):
                layer.to(torch.bfloat16)
    return encoder


def compiled(encoder: Encoder, batch_size: int, patch_px: int) -> Encoder:
    """The encoder compiled for batches of one size; smaller ones are filled up with black patches, which are dropped.

    On a CPU the weights are taken into the compiled code (freezing), where they lie as the products want them.

    Raises:
        UserError: it cannot be compiled here, most often for want of a C++ compiler.
    """
    import torch._inductor.config as inductor

    inductor.freezing = encoder.device.type == "cpu"
    module = cast(torch.nn.Module, torch.compile(encoder.module, dynamic=False))
    quick = replace(encoder, module=module, fixed_batch=batch_size)
    try:
        encode_batch(np.zeros((batch_size, patch_px, patch_px, 3), np.uint8), quick)
    except torch.cuda.OutOfMemoryError:
        raise
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"the encoder {encoder.facts['name']} cannot be compiled here ({reason}); set features.compile: false, or "
            "install a C++ compiler"
        ) from error
    return quick


def choose_batch_size(encoder: Encoder, patch_px: int) -> int:
    """Patches a batch: fixed on a CPU, so that the same machine gives the same bits; on a GPU the fastest found.

    Raises:
        UserError: not even the smallest batch fits in the GPU's memory.
    """
    if encoder.device.type != "cuda":
        return CPU_BATCH
    best, best_rate = 0, 0.0
    for size in _GPU_BATCHES:
        try:
            rate = _rate(encoder, size, patch_px)
        except torch.cuda.OutOfMemoryError:
            torch.cuda.empty_cache()
            break
        if rate < best_rate * _GAIN:
            break
        best, best_rate = size, rate
    if not best:
        raise UserError(
            f"{_GPU_BATCHES[0]} patches at once do not fit in the GPU's memory with the encoder "
            f"{encoder.facts['name']}; set features.batch_size to less"
        )
    log.info("%d patches a batch: %.0f patches/s", best, best_rate)
    return best


def _rate(encoder: Encoder, size: int, patch_px: int, batches: int = 6) -> float:
    """Patches per second, measured on white patches after a first batch."""
    white = np.full((size, patch_px, patch_px, 3), 255, np.uint8)
    for _ in encode_batches([white], encoder):
        pass
    begun = time.monotonic()
    for _ in encode_batches([white] * batches, encoder):
        pass
    return size * batches / (time.monotonic() - begun)
