"""Multi-crop views of a region, taken on its token grid: one gather a crop, no pixels touched."""

import torch
import torch.nn.functional as F
from torch import Tensor


def window_indices(grid: int, size: int, device: torch.device | str = "cpu") -> Tensor:
    """Flat token indices of every `size` x `size` window of a `grid` x `grid` region.

    Returns:
        int64 `[(grid - size + 1)**2, size, size]`, windows row-major by their upper left token.
    """
    step = torch.arange(grid - size + 1, device=device)
    inner = torch.arange(size, device=device)
    rows = step[:, None, None, None] + inner[None, None, :, None]
    cols = step[None, :, None, None] + inner[None, None, None, :]
    return (rows * grid + cols).flatten(0, 1)


def sample_windows(valid: Tensor, size: int, flip: float, generator: torch.Generator) -> Tensor:
    """Random square crop of each region, with a horizontal flip.

    Uniform over all windows that hold at least half as many valid tokens as the region's best window, so
    that padding never fills a crop; in a region without padding that is every window, as in the paper.

    Args:
        valid: bool `[B, g, g]`.
        size: side of the crop, tokens.
        flip: probability of the flip.
        generator: CPU generator.

    Returns:
        int64 `[B, size, size]`: flat token indices of the crop, on the device of `valid`.
    """
    b, grid, _ = valid.shape
    windows = window_indices(grid, size, valid.device)
    counts = F.avg_pool2d(valid[:, None].float(), size, stride=1).flatten(1) * size * size
    allowed = counts.round() * 2 >= counts.round().amax(dim=1, keepdim=True)
    draws = torch.rand(b, len(windows), generator=generator).to(valid.device)
    chosen = windows[draws.masked_fill(~allowed, -1.0).argmax(dim=1)]
    flipped = (torch.rand(b, generator=generator) < flip).to(valid.device)
    return torch.where(flipped[:, None, None], chosen.flip(-1), chosen)


def centre_window(grid: int, size: int) -> Tensor:
    """Flat indices `[size, size]` of the centre crop: the deterministic view that is clustered."""
    start = (grid - size) // 2
    return window_indices(grid, size)[start * (grid - size + 1) + start]


def gather_crop(tokens: Tensor, valid: Tensor, window: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens and validity of one crop of each region.

    Args:
        tokens: `[B, g*g, D]`.
        valid: bool `[B, g*g]`.
        window: int64 `[B, s, s]`.

    Returns:
        tokens `[B, s, s, D]`, valid bool `[B, s, s]`.
    """
    rows = torch.arange(len(window), device=window.device)[:, None, None]
    return tokens[rows, window], valid[rows, window]
