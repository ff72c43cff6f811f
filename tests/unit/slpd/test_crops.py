import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from workflow_scripts.slpd.crops import (
    allowed_windows,
    centre_window,
    fuller_windows,
    gather_crops,
    sample_keep,
    sample_windows,
    window_indices,
)


def windows_of(valid: torch.Tensor, size: int, flip: float, generator: torch.Generator) -> torch.Tensor:
    """Crops `[B, size, size]` of regions bool `[B, g, g]`."""
    return sample_windows(allowed_windows(valid, size), valid.shape[-1], size, flip, generator)


def corner(window: np.ndarray, grid: int) -> tuple[int, int, bool]:
    """Upper left token and flip of a window, after checking that it is a contiguous square."""
    rows, cols = np.divmod(window, grid)
    flipped = bool(cols[0, 0] > cols[0, -1])
    cols = cols[:, ::-1] if flipped else cols
    size = len(window)
    assert (rows == rows[0, 0] + np.arange(size)[:, None]).all()
    assert (cols == cols[0, 0] + np.arange(size)[None, :]).all()
    assert rows.max() < grid
    return int(rows[0, 0]), int(cols[0, 0]), flipped


@pytest.mark.parametrize(("grid", "size"), [(5, 2), (6, 6), (16, 14)])
def test_window_indices_are_all_windows_in_order(grid, size):
    windows = window_indices(grid, size).numpy()
    n = grid - size + 1
    assert [corner(w, grid) for w in windows] == [(r, c, False) for r in range(n) for c in range(n)]


def test_windows_are_uniform_and_flips_have_their_probability():
    n = 9_000
    valid = torch.ones(n, 5, 5, dtype=torch.bool)
    windows = windows_of(valid, 3, 0.3, torch.Generator().manual_seed(0)).numpy()
    counts = np.zeros((3, 3, 2), dtype=int)
    for window in windows:
        row, col, flipped = corner(window, 5)
        counts[row, col, int(flipped)] += 1
    assert (counts > 0).all()
    expected = np.array([0.7, 0.3]) * n / 9
    assert chisquare(counts.ravel(), np.broadcast_to(expected, counts.shape).ravel()).pvalue > 0.001


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_flip_probability_at_its_ends(flip):
    valid = torch.ones(50, 4, 4, dtype=torch.bool)
    windows = windows_of(valid, 2, flip, torch.Generator().manual_seed(0)).numpy()
    assert {corner(w, 4)[2] for w in windows} == {bool(flip)}


def test_padding_rule_allows_windows_with_half_of_the_best():
    grid, size, copies = 6, 3, 400
    masks = torch.rand(8, grid, grid, generator=torch.Generator().manual_seed(3)) < 0.35
    masks[0] = False
    masks[0, :2, :2] = True  # best 4, so 2 and more
    masks[1] = False  # nothing valid: all windows are equally good
    seen_fewer = False
    for mask in masks:
        windows = windows_of(mask.expand(copies, -1, -1), size, 0.5, torch.Generator().manual_seed(4)).numpy()
        reached = {corner(w, grid)[:2] for w in windows}
        n = grid - size + 1
        held = {(r, c): int(mask[r : r + size, c : c + size].sum()) for r in range(n) for c in range(n)}
        best = max(held.values())
        assert reached == {place for place, count in held.items() if 2 * count >= best}
        seen_fewer |= len(reached) < n * n
    assert seen_fewer


def test_windows_with_enough_tissue_or_else_the_fullest():
    grid, size, least = 5, 2, 0.6
    generator = torch.Generator().manual_seed(5)
    tissue = torch.rand(6, grid, grid, generator=generator)
    tissue[0] *= 0.2  # none has enough
    tissue[1] = 0.6  # all have just enough
    allowed = torch.rand(6, (grid - size + 1) ** 2, generator=generator) < 0.7
    found = fuller_windows(allowed, tissue, size, least)
    for region in range(6):
        corners = [(r, c) for r in range(grid - size + 1) for c in range(grid - size + 1)]
        held = np.array([tissue[region, r : r + size, c : c + size].double().mean() for r, c in corners])
        may = allowed[region].numpy()
        enough = min(least, held[may].max())
        np.testing.assert_array_equal(found[region].numpy(), may & (held >= enough - 1e-6))
    assert int(found[0].sum()) == 1 and torch.equal(found[1], allowed[1])
    assert torch.equal(fuller_windows(allowed, tissue, size, 0.0), allowed)


def test_same_generator_same_windows():
    valid = torch.ones(20, 6, 6, dtype=torch.bool)
    draw = [windows_of(valid, 3, 0.5, torch.Generator().manual_seed(s)) for s in (5, 5, 6)]
    assert torch.equal(draw[0], draw[1])
    assert not torch.equal(draw[0], draw[2])


@pytest.mark.parametrize(("grid", "size", "start"), [(16, 14, 1), (8, 7, 0), (16, 16, 0), (16, 6, 5)])
def test_centre_window(grid, size, start):
    window = centre_window(grid, size).numpy()
    whole = np.arange(grid * grid).reshape(grid, grid)
    assert (window == whole[start : start + size, start : start + size]).all()


def test_gather_takes_each_regions_own_windows():
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn(5, 16, 3, generator=generator)
    valid = torch.rand(5, 16, generator=generator) < 0.5
    whole = torch.ones(5, 4, 4, dtype=torch.bool)
    windows = torch.stack([windows_of(whole, 2, 0.5, generator) for _ in range(3)])
    got, flags = gather_crops(tokens, valid, windows)
    for v in range(3):
        for b in range(5):
            for r in range(2):
                for c in range(2):
                    place = windows[v, b, r, c]
                    assert torch.equal(got[v * 5 + b, r, c], tokens[b, place])
                    assert flags[v * 5 + b, r, c] == valid[b, place]


def test_stochastic_depth_rises_linearly_over_the_blocks_and_keeps_the_mean():
    rate, depth = 0.3, 4
    keep = sample_keep(rate, depth, 10, 2000, torch.Generator().manual_seed(0))
    assert keep.shape == (depth, 2, 10, 2000)
    for place, expected in enumerate(np.linspace(0, rate, depth)):
        values = keep[place].unique().tolist()
        assert values == pytest.approx([1.0] if expected == 0 else [0, 1 / (1 - expected)])
        assert (keep[place] == 0).float().mean().item() == pytest.approx(expected, abs=0.01)
        assert keep[place].mean().item() == pytest.approx(1.0, abs=0.01)
    assert sample_keep(0.0, depth, 2, 3, torch.Generator()) is None
