"""The arithmetic of training: bfloat16 products where the processor or GPU has them, float32 parameters always."""

import torch

from workflow_scripts.config import PretrainRun
from workflow_scripts.core.arithmetic import multiplies_bfloat16
from workflow_scripts.slpd.network import Network


def training_dtype(settings: PretrainRun, network: Network) -> torch.dtype:
    """Arithmetic of backbone, head and losses' large products; all else is done as the parameters are stored."""
    stored = network.head.last_layer
    if settings.precision == "float32" or stored.dtype != torch.float32:
        return stored.dtype
    if settings.precision == "auto" and not multiplies_bfloat16(stored.device.type):
        return stored.dtype
    return torch.bfloat16
