"""The region encoder: a small ViT over the grid of a region's patch tokens (HIPT's ViT_4096-256, `vit4k_xs`)."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def linear(layer: nn.Linear, x: Tensor) -> Tensor:
    """The layer in the arithmetic of `x`: parameters stay as they are stored (float32) and are cast on the way."""
    return F.linear(x, layer.weight.to(x.dtype), layer.bias.to(x.dtype))


def layer_norm(layer: nn.LayerNorm, x: Tensor) -> Tensor:
    """The layer in the arithmetic of `x`."""
    return F.layer_norm(x, layer.normalized_shape, layer.weight.to(x.dtype), layer.bias.to(x.dtype), layer.eps)


class Block(nn.Module):
    """Pre-norm transformer block: attention with qkv bias, then an MLP with GELU."""

    def __init__(self, dim: int, heads: int, mlp_ratio: float) -> None:
        super().__init__()
        hidden = int(dim * mlp_ratio)
        self.heads = heads
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def attend(self, x: Tensor, mask: Tensor | None) -> Tensor:
        b, t, d = x.shape
        q, k, v = split_heads(linear(self.qkv, x), self.heads, copied=not x.is_cuda)
        out = attention(q, k, v, mask)
        return linear(self.proj, out.transpose(1, 2).reshape(b, t, d))

    def forward(self, x: Tensor, mask: Tensor | None, keep: Tensor | None) -> Tensor:
        """`keep` `[2, B]` multiplies the two residual branches (stochastic depth); None keeps both."""
        attended = self.attend(layer_norm(self.norm1, x), mask)
        x = x + attended if keep is None else torch.addcmul(x, attended, keep[0, :, None, None])
        hidden = linear(self.fc2, F.gelu(linear(self.fc1, layer_norm(self.norm2, x))))
        return x + hidden if keep is None else torch.addcmul(x, hidden, keep[1, :, None, None])


def split_heads(qkv: Tensor, heads: int, copied: bool) -> tuple[Tensor, ...]:
    """Queries, keys and values `[B, h, t, w]` of `[B, t, 3 * h * w]`.

    Matrix products want them one after another (`copied`). A GPU's fused kernels read views as well, which saves a copy
    forward and another backward.
    """
    qkv = qkv.unflatten(2, (3, heads, -1))
    if copied:
        return qkv.permute(2, 0, 3, 1, 4).contiguous().unbind(0)
    return tuple(part.transpose(1, 2) for part in qkv.unbind(2))


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Scaled dot-product attention of `[B, h, t, w]`; `mask` `[B, 1, 1, t]` is False where a token is hidden.

    The fused kernel where it is the fastest. On a CPU it is not for short sequences, nor in bfloat16, where its
    backward pass takes three to ten times as long as matrix products (tests/benchmarks/step.py).
    """
    b, h, t, w = q.shape
    if q.is_cuda or (t > 64 and q.dtype != torch.bfloat16):
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    q, k, v = (x.reshape(b * h, t, w) for x in (q, k, v))
    scores = torch.baddbmm(q.new_empty(()), q, k.transpose(1, 2), beta=0, alpha=w**-0.5)
    if mask is not None:
        scores = scores.view(b, h, t, t).masked_fill(~mask, float("-inf")).view(b * h, t, t)
    return torch.bmm(scores.softmax(dim=-1), v).view(b, h, t, w)


def resized(grid: Tensor, h: int, w: int) -> Tensor:
    """Learned grids `[1, n, side, side]` at another size, `[1, n, h, w]`, by bicubic interpolation.

    The 0.1 added to the size is DINO's guard against rounding in the scale factor; it is part of the interpolation's
    coordinates, so it is kept.
    """
    scale = ((h + 0.1) / grid.shape[2], (w + 0.1) / grid.shape[3])
    return F.interpolate(grid, scale_factor=scale, mode="bicubic")


class RegionViT(nn.Module):
    """ViT over `[h, w]` patch tokens with a CLS token; the paper's setting has 2,781,504 parameters.

    Args:
        in_dim: width D of the patch features.
        dim: width of the model (192).
        depth, heads, mlp_ratio: blocks (6), attention heads (6), MLP width over `dim` (4).
        positions: side of the learned grid of position embeddings (the side of a global crop, 14).

    Its arithmetic is that of its input: bfloat16 tokens are worked on in bfloat16, with float32 parameters.

    Attributes:
        run_block: what runs a block on `(x, mask, keep)`; another than the block itself where it is compiled.
    """

    run_block: Callable[..., Tensor] = staticmethod(Block.__call__)

    def __init__(self, in_dim: int, dim: int, depth: int, heads: int, mlp_ratio: float, positions: int) -> None:
        super().__init__()
        self.positions = positions
        self._resizing: dict[tuple[int, int, torch.device, torch.dtype], Tensor] = {}
        self.phi = nn.Linear(in_dim, dim)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, positions * positions + 1, dim))
        self.blocks = nn.ModuleList(Block(dim, heads, mlp_ratio) for _ in range(depth))
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        nn.init.trunc_normal_(self.cls_token, std=0.02)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        self.apply(init_linear)

    def position_embedding(self, h: int, w: int) -> Tensor:
        """Position embeddings `[1, 1 + h*w, dim]`; the patch part is interpolated off the learned grid."""
        if h == w == self.positions:
            return self.pos_embed
        first, learned = self.pos_embed[:, :1], self.pos_embed[:, 1:]
        if self.pos_embed.is_cuda:
            return torch.cat([first, self._resize_matrix(h, w) @ learned], dim=1)
        grid = learned.reshape(1, self.positions, self.positions, -1).permute(0, 3, 1, 2)
        return torch.cat([first, resized(grid, h, w).permute(0, 2, 3, 1).reshape(1, h * w, -1)], dim=1)

    @torch.inference_mode(False)  # for training too, wherever it is first asked for
    @torch.no_grad()
    def _resize_matrix(self, h: int, w: int) -> Tensor:
        """`[h*w, side*side]`: interpolation as a product, since its own backward pass on a GPU adds in any order."""
        like, side = self.pos_embed, self.positions
        key = (h, w, like.device, like.dtype)
        if key not in self._resizing:
            grids = torch.eye(side * side, dtype=like.dtype).view(1, -1, side, side)
            self._resizing[key] = resized(grids, h, w)[0].flatten(1).T.contiguous().to(like.device)
        return self._resizing[key]

    def embed_tokens(self, tokens: Tensor) -> Tensor:
        """Patch features `[..., D]` to tokens `[..., dim]`, each on its own: done once a region, before cropping."""
        return F.gelu(linear(self.phi, tokens))

    def encode(self, x: Tensor, valid: Tensor | None = None, keep: Tensor | None = None) -> Tensor:
        """CLS embedding `[B, dim]` of embedded tokens `[B, h, w, dim]`; see `forward`.

        `keep` `[depth, 2, B]`, from `crops.sample_keep`, multiplies the residual branches; None keeps all.
        """
        b, h, w, _ = x.shape
        positions = self.position_embedding(h, w)
        first = (self.cls_token + positions[:, :1]).to(x.dtype)
        x = torch.cat([first.expand(b, -1, -1), x.flatten(1, 2) + positions[:, 1:].to(x.dtype)], dim=1)
        mask = None
        if valid is not None:
            mask = torch.cat([valid.new_ones(b, 1), valid.flatten(1)], dim=1)[:, None, None, :]
        for place, block in enumerate(self.blocks):
            x = self.run_block(block, x, mask, None if keep is None else keep[place])
        return layer_norm(self.norm, x[:, 0])

    def forward(self, tokens: Tensor, valid: Tensor | None = None) -> Tensor:
        """CLS embedding of each region or crop.

        Args:
            tokens: `[B, h, w, D]` patch features, row-major.
            valid: bool `[B, h, w]`, False where a token is padding or unreadable; None where all are valid.

        Returns:
            `[B, dim]`; masked tokens do not influence it.
        """
        return self.encode(self.embed_tokens(tokens), valid)


def init_linear(module: nn.Module) -> None:
    """Truncated normal of deviation 0.02 for linear weights, zero biases (DINO's initialisation)."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
