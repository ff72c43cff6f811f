"""The arithmetic of training: bfloat16 products where the processor or GPU has them, float32 parameters always."""

import functools

import torch

from workflow_scripts.config import PretrainRun
from workflow_scripts.slpd.network import Network


@functools.cache
def _multiplies_bfloat16(kind: str) -> bool:
    """Whether a device of this kind (`cuda`, `cpu`) has bfloat16 matrix products in hardware."""
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def training_dtype(settings: PretrainRun, network: Network) -> torch.dtype:
    """Arithmetic of backbone, head and losses' large products; all else is done as the parameters are stored."""
    stored = network.head.last_layer
    if settings.precision == "float32" or stored.dtype != torch.float32:
        return stored.dtype
    if settings.precision == "auto" and not _multiplies_bfloat16(stored.device.type):
        return stored.dtype
    return torch.bfloat16
