"""Hiding glass (`mask_glass`): the one rule for it, in training and in the exported model."""

import torch
from torch import Tensor


def without_glass(valid: Tensor, tissue: Tensor) -> Tensor:
    """Tokens that a model with `mask_glass` sees, bool `[N, g, g]`: the valid ones whose patch holds any tissue.

    A region without any keeps all its valid tokens, so that none is hidden whole.

    Args:
        valid: bool `[N, g, g]`, False where a token is padding or unreadable.
        tissue: `[N, g, g]`, tissue fraction of each patch.
    """
    visible = valid & (tissue > 0)
    return torch.where(visible.any(dim=(1, 2), keepdim=True), visible, valid)
