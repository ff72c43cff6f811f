"""Which arithmetic a device has in hardware."""

import functools

import torch


@functools.cache
def multiplies_bfloat16(kind: str) -> bool:
    """Whether a device of this kind (`cuda`, `cpu`) has bfloat16 matrix products in hardware."""
    if kind == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
