"""Self-attention within bags."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from workflow_scripts.mil.nets.batch import Linear, Norm


class SelfAttention(nn.Module):
    """Softmax attention of every job among the valid tokens of each bag, `[J, B, N, width]`."""

    def __init__(self, jobs: int, width: int, heads: int, bias: bool = True) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"{heads} attention heads do not divide a width of {width}")
        self.heads = heads
        self.qkv = Linear(jobs, width, 3 * width, bias)
        self.out = Linear(jobs, width, width)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """Attended tokens `[J, B, N, width]`; `valid` is bool `[J, B, N]`."""
        return self.join(self.mixed(x, valid)[0], x.shape)

    def mixed(self, x: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Values mixed by attention, and the values, each `[J B, heads, N, width / heads]`."""
        jobs, bags, tokens, width = x.shape
        qkv = self.qkv(x).view(jobs * bags, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        query, key, value = qkv.unbind()
        return attention(query, key, value, valid.view(jobs * bags, 1, 1, tokens)), value

    def join(self, mixed: Tensor, shape: torch.Size) -> Tensor:
        """The heads side by side, through the last layer."""
        return self.out(mixed.transpose(1, 2).reshape(shape))


def attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """softmax(query key^T / sqrt(width)) value, each `[N, heads, tokens, width]`, keys of bool `[N, 1, 1, tokens]`."""
    if query.is_cuda and query.dtype == torch.float32:
        # by hand, for the fused kernels' backward passes do not repeat their bits
        scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
        return scores.masked_fill(~mask, -torch.inf).softmax(dim=-1) @ value
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)


class Block(nn.Module):
    """PyTorch's `TransformerEncoderLayer`: attention and a ReLU network, each added and then normalised."""

    def __init__(self, jobs: int, width: int, heads: int) -> None:
        super().__init__()
        self.attention = SelfAttention(jobs, width, heads)
        self.norm1, self.norm2 = Norm(jobs, width), Norm(jobs, width)
        self.wide, self.narrow = Linear(jobs, width, 4 * width), Linear(jobs, 4 * width, width)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        x = self.norm1(x + self.attention(x, valid))
        return self.norm2(x + self.narrow(torch.relu(self.wide(x))))
