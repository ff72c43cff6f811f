"""Cross-entropies of every target with every crop over tens of thousands of classes, without a tensor of pairs.

A crop's logits are the cosines of its bottleneck feature with the rows of the last layer, over the temperature:
s = z W^T / tau. As a target Q sums to 1, its cross-entropy with softmax(s) is logsumexp(s) - <Q, s>, and
<Q, s> = <Q W, z> / tau. So each crop needs one log-sum-exp, whatever the number of targets; targets are brought to
the width of the bottleneck by one product, and there all of them meet all crops.
"""

from typing import Any

import torch
from torch import Tensor


class _CrossEntropies(torch.autograd.Function):
    """See `cross_entropies`. Keeps exp(s) and Q for the backward pass, in the arithmetic of the products."""

    @staticmethod
    def forward(
        ctx: Any, z: Tensor, directions: Tensor, targets: Tensor, temperature: float, dtype: torch.dtype
    ) -> Tensor:
        t, b, c = targets.shape
        w = directions.to(dtype)
        # cosines over the temperature are at most 1 / temperature, so exp needs no maximum taken off
        exps = torch.mm((z / temperature).to(dtype).flatten(0, 1), w.T).exp_()
        sums = exps.sum(dim=1, dtype=z.dtype).view(z.shape[:2])
        low = targets.to(dtype).view(t * b, c)
        pulled = torch.mm(low, w).to(z.dtype).view(t, b, -1) / temperature
        ctx.save_for_backward(z, w, exps, sums, low, pulled)
        ctx.temperature = temperature
        return sums.log() - torch.einsum("tbd,vbd->tvb", pulled, z)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        z, w, exps, sums, low, pulled = ctx.saved_tensors
        scale = (grad.sum(dim=0) / sums / ctx.temperature).unsqueeze(-1)  # [V, B, 1]
        back = torch.mm(exps, w).to(z.dtype).view_as(z)
        grad_z = scale * back - torch.einsum("tvb,tbd->vbd", grad, pulled)
        mixed = torch.einsum("tvb,vbd->tbd", grad, z) / ctx.temperature
        grad_w = torch.mm(exps.T, (scale * z).to(w.dtype).flatten(0, 1)).to(z.dtype)
        grad_w -= torch.mm(low.T, mixed.to(w.dtype).flatten(0, 1))
        return grad_z, grad_w, None, None, None


def cross_entropies(
    z: Tensor, directions: Tensor, targets: Tensor, temperature: float, dtype: torch.dtype | None = None
) -> Tensor:
    """Cross-entropy of every target of a region with every crop of it.

    Args:
        z: `[V, B, d]` unit bottleneck features of V crops of B regions.
        directions: `[C, d]` unit rows of the last layer.
        targets: `[T, B, C]` probabilities, constants.
        temperature: the student's; at least 0.02, lest exp overflows.
        dtype: arithmetic of the large products; None is that of `z`.

    Returns:
        `[T, V, B]` in the dtype of `z`; differentiable by `z` and `directions`.
    """
    return _CrossEntropies.apply(z, directions, targets, temperature, dtype or z.dtype)
