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


def allowed_windows(valid: Tensor, size: int) -> Tensor:
    """Windows of each region that a crop may take, bool `[B, windows]` in the order of `window_indices`.

    Those that hold at least half as many valid tokens as the region's best window, so that padding never fills a crop;
    in a region without padding that is every window, as in the paper.

    Args:
        valid: bool `[B, g, g]`.
        size: side of the crop, tokens.
    """
    if valid.all():  # as nearly always
        return valid.new_ones(len(valid), (valid.shape[-1] - size + 1) ** 2)
    counts = F.avg_pool2d(valid[:, None].float(), size, stride=1).flatten(1) * size * size
    return counts.round() * 2 >= counts.round().amax(dim=1, keepdim=True)


def fuller_windows(allowed: Tensor, tissue: Tensor, size: int, least: float) -> Tensor:
    """Those of the allowed windows that hold enough tissue, bool `[B, windows]`; where none does, the fullest.

    Args:
        allowed: bool `[B, windows]`, see `allowed_windows`.
        tissue: float `[B, g, g]`, tissue fraction of each token's patch.
        size: side of the crop, tokens.
        least: tissue fraction of a window, from 0 to 1.
    """
    held = F.avg_pool2d(tissue[:, None].double(), size, stride=1).flatten(1).masked_fill(~allowed, -1.0)
    enough = held.amax(dim=1, keepdim=True).clamp(max=least)
    return allowed & (held >= enough - 1e-6)  # sums of float32 shares round


def sample_windows(allowed: Tensor, grid: int, size: int, flip: float, generator: torch.Generator) -> Tensor:
    """Random square crop of each region, uniform over the allowed ones, with a horizontal flip.

    Args:
        allowed: bool `[B, windows]`, see `allowed_windows`.
        grid: side g of the regions, tokens.
        size: side of the crop, tokens.
        flip: probability of the flip.
        generator: CPU generator.

    Returns:
        int64 `[B, size, size]`: flat token indices of the crop, on the device of `allowed`.
    """
    b, device = len(allowed), allowed.device
    windows = window_indices(grid, size, device)
    draws = torch.rand(b, len(windows), generator=generator).to(device)
    chosen = windows[draws.masked_fill(~allowed, -1.0).argmax(dim=1)]
    flipped = (torch.rand(b, generator=generator) < flip).to(device)
    return torch.where(flipped[:, None, None], chosen.flip(-1), chosen)


def centre_window(grid: int, size: int) -> Tensor:
    """Flat indices `[size, size]` of the centre crop: the deterministic view that is clustered."""
    start = (grid - size) // 2
    return window_indices(grid, size)[start * (grid - size + 1) + start]


def gather_crops(tokens: Tensor, valid: Tensor, windows: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens and validity of several crops of each region: one gather for all.

    Args:
        tokens: `[B, g*g, D]`.
        valid: bool `[B, g*g]`.
        windows: int64 `[V, B, s, s]`.

    Returns:
        tokens `[V*B, s, s, D]`, valid bool `[V*B, s, s]`, crop after crop.
    """
    v, b, s, _ = windows.shape
    offsets = torch.arange(b, device=windows.device) * tokens.shape[1]
    flat = (windows + offsets[:, None, None]).flatten()
    crops = tokens.flatten(0, 1).index_select(0, flat)
    return crops.view(v * b, s, s, -1), valid.flatten()[flat].view(v * b, s, s)


def sample_keep(rate: float, depth: int, crops: int, batch: int, generator: torch.Generator) -> Tensor | None:
    """Which residual branches stochastic depth keeps, for every block, branch, crop and region of a step.

    Args:
        rate: rate of the last block, linear over the blocks from 0.
        depth: blocks.
        crops: V.
        batch: B.
        generator: CPU generator.

    Returns:
        float32 `[depth, 2, V, B]`: 0, or 1 / (1 - rate of the block); None at rate 0.
    """
    if rate == 0:
        return None
    keep = 1 - torch.linspace(0, rate, depth)[:, None, None, None]
    return (torch.rand(depth, 2, crops, batch, generator=generator) < keep) / keep
