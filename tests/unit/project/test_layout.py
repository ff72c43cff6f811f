import math

import numpy as np
import pytest

from workflow_scripts.config import load_config
from workflow_scripts.project.encoder import EncoderChoice
from workflow_scripts.project.layout import GRIDS, Layout, choose_layout, crop_sizes
from workflow_scripts.project.settings import project_keys


def _had_by_three_quarters(counts: list[int]) -> int:
    """The largest number of regions that three quarters of the slides have, from the sorted list."""
    return sorted(counts, reverse=True)[math.ceil(0.75 * len(counts)) - 1]


def _brute_force(regions: dict[int, list[int]]) -> tuple[int, int, int]:
    """Grid, prototypes and min_regions by the rule as it is written, all candidates scored and the best taken."""
    had = {grid: _had_by_three_quarters(counts) for grid, counts in regions.items()}
    candidates = []
    if had[16] >= 32:
        candidates.append((100, 16, 4, 32))
    if had[16] >= 16:
        candidates.append((90, 16, 2, 16))
    candidates += [(grid, grid, 4, 32) for grid in regions if grid < 16 and had[grid] >= 32]
    candidates.append((0, 4, 2, min(16, max(4, had[4]))))
    return max(candidates)[1:]


def test_the_rule_against_brute_force():
    rng = np.random.default_rng(3)
    seen = set()
    for _ in range(2000):
        slides, at_4096 = int(rng.integers(1, 13)), 10 ** rng.uniform(-1.5, 2)
        area = at_4096 * np.exp(rng.normal(0, 0.5, slides))
        regions = {grid: [max(1, round(a * (16 / grid) ** 2)) for a in area] for grid in GRIDS}
        layout = choose_layout(regions)
        assert (layout.grid, layout.prototypes, layout.min_regions) == _brute_force(regions)
        seen.add((layout.grid, layout.prototypes, layout.min_regions))
    assert {(16, 4, 32), (16, 2, 16), (8, 4, 32), (6, 4, 32), (4, 4, 32), (4, 2, 16), (4, 2, 4)} <= seen


@pytest.mark.parametrize(
    ("at_4096", "expected"),
    [
        ([60, 40, 33, 5], Layout(16, 14, 6, 4, 32)),  # three of four slides are enough
        ([60, 40, 31, 5], Layout(16, 14, 6, 2, 16)),
        ([13, 13, 13, 13], Layout(8, 7, 3, 4, 32)),
        ([1, 1, 1, 1], Layout(4, 3, 2, 2, 16)),
    ],
)
def test_examples(at_4096, expected):
    assert choose_layout({grid: [count * 256 // grid**2 for count in at_4096] for grid in GRIDS}) == expected


def test_without_any_slide_it_is_the_papers():
    assert choose_layout({grid: [] for grid in GRIDS}) == Layout(16, 14, 6, 4, 32)


@pytest.mark.parametrize("grid", GRIDS)
def test_crops_keep_their_proportion_and_pass_validation(grid):
    larger, smaller = crop_sizes(grid)
    assert 0 <= grid * 14 / 16 - larger < 1 and abs(grid * 6 / 16 - smaller) <= 0.5  # tokens
    assert 1 <= smaller < larger < grid
    layout = Layout(grid, larger, smaller, 2, 4)
    encoder = EncoderChoice("efficientnet_lite0", None, [])
    config = load_config(project_keys("c", "slides.csv", layout, encoder))
    assert (config.regions.grid, config.pretrain.run("slpd").crops.global_size) == (grid, larger)
