"""The region encoder: a small ViT over the grid of a region's patch tokens (HIPT's ViT_4096-256, `vit4k_xs`)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class DropPath(nn.Module):
    """Stochastic depth: drops a residual branch for whole samples during training, and rescales the rest."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if self.rate == 0.0 or not self.training:
            return x
        keep = 1.0 - self.rate
        mask = torch.rand(x.shape[0], 1, 1, device=x.device) < keep
        return x * mask.to(x.dtype) / keep


class Block(nn.Module):
    """Pre-norm transformer block: attention with qkv bias, then an MLP with GELU."""

    def __init__(self, dim: int, heads: int, mlp_ratio: float, drop_path: float) -> None:
        super().__init__()
        hidden = int(dim * mlp_ratio)
        self.heads = heads
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)
        self.drop_path = DropPath(drop_path)

    def attend(self, x: Tensor, mask: Tensor | None) -> Tensor:
        b, t, d = x.shape
        qkv = self.qkv(x).reshape(b, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        out = F.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2], attn_mask=mask)
        return self.proj(out.transpose(1, 2).reshape(b, t, d))

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        x = x + self.drop_path(self.attend(self.norm1(x), mask))
        return x + self.drop_path(self.fc2(F.gelu(self.fc1(self.norm2(x)))))


class RegionViT(nn.Module):
    """ViT over `[h, w]` patch tokens with a CLS token; the paper's setting has 2,781,504 parameters.

    Args:
        in_dim: width D of the patch features.
        dim: width of the model (192).
        depth, heads, mlp_ratio: blocks (6), attention heads (6), MLP width over `dim` (4).
        drop_path: rate of the last block, linear over the blocks (student 0.1, teacher 0).
        positions: side of the learned grid of position embeddings (the side of a global crop, 14).
    """

    def __init__(
        self, in_dim: int, dim: int, depth: int, heads: int, mlp_ratio: float, drop_path: float, positions: int
    ) -> None:
        super().__init__()
        self.positions = positions
        self.phi = nn.Linear(in_dim, dim)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, positions * positions + 1, dim))
        rates = torch.linspace(0, drop_path, depth).tolist()
        self.blocks = nn.ModuleList(Block(dim, heads, mlp_ratio, rate) for rate in rates)
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        nn.init.trunc_normal_(self.cls_token, std=0.02)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        self.apply(init_linear)

    def position_embedding(self, h: int, w: int) -> Tensor:
        """Position embeddings `[1, 1 + h*w, dim]`; the patch part is bicubic-interpolated off the learned grid.

        The 0.1 added to the size is DINO's guard against rounding in the scale factor; it is part of the
        interpolation's coordinates, so it is kept.
        """
        if h == w == self.positions:
            return self.pos_embed
        side = self.positions
        grid = self.pos_embed[:, 1:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
        grid = F.interpolate(grid, scale_factor=((h + 0.1) / side, (w + 0.1) / side), mode="bicubic")
        return torch.cat([self.pos_embed[:, :1], grid.permute(0, 2, 3, 1).reshape(1, h * w, -1)], dim=1)

    def embed_tokens(self, tokens: Tensor) -> Tensor:
        """Patch features `[..., D]` to tokens `[..., dim]`, each on its own: done once a region, before cropping."""
        return F.gelu(self.phi(tokens))

    def encode(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """CLS embedding `[B, dim]` of embedded tokens `[B, h, w, dim]`; see `forward`."""
        b, h, w, _ = x.shape
        x = torch.cat([self.cls_token.expand(b, -1, -1), x.flatten(1, 2)], dim=1) + self.position_embedding(h, w)
        mask = None
        if valid is not None:
            mask = torch.cat([valid.new_ones(b, 1), valid.flatten(1)], dim=1)[:, None, None, :]
        for block in self.blocks:
            x = block(x, mask)
        return self.norm(x[:, 0])

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
