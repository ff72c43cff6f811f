"""The same bits from every run on the same GPU."""

import os

import torch


def make_deterministic(wanted: bool) -> None:
    """Have torch use kernels that add in a fixed order, and raise where it has none; call it before a GPU is used.

    Nothing where not wanted.
    """
    if not wanted:
        return
    # cuBLAS adds in an order that depends on its workspace, and reads this when it is first used
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # all is written first
    # the other fused kernels of attention have a backward pass of a fixed order
    torch.backends.cuda.enable_cudnn_sdp(False)
    torch.backends.cudnn.benchmark = False  # which would choose kernels by timing them
