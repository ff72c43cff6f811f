"""FLOP of a step and of a clustering: by torch's own count on a small network, by hand at the paper's size."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from workflow_scripts.config import PretrainRun
from workflow_scripts.config.flop import cluster_flop, step_flop
from workflow_scripts.slpd.network import Network

GRID, IN_DIM = 8, 40
SMALL = PretrainRun.model_validate(
    {
        "model": {"dim": 24, "depth": 2, "heads": 2},
        "head": {"hidden": 48, "bottleneck": 16, "out_dim": 64},
        "crops": {"global_size": 6, "local_size": 3, "local_count": 4},
    }
)


def counted(call: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


def forward(network: Network, sides: list[int]) -> Tensor:
    """The sum of the logits of one region's crops, whose tokens are embedded once."""
    embedded = network.backbone.embed_tokens(torch.zeros(1, GRID, GRID, IN_DIM))
    crops = (network.backbone.encode(embedded[:, :side, :side]) for side in sides)
    return torch.stack([network.head(crop).sum() for crop in crops]).sum()


@pytest.mark.parametrize("targets", [0, 2, 5])
def test_a_step_is_what_torch_counts(targets: int) -> None:
    """But for the gradient of the tokens, which nobody asks for: the embedding's backward is one product, not two."""
    network = Network(SMALL, IN_DIM)
    student = counted(lambda: forward(network, [6] * 2 + [3] * 4).backward())
    with torch.no_grad():
        teacher = counted(lambda: forward(network, [6] * 2))
        prototypes = counted(lambda: network.head.logits(torch.zeros(targets, 16))) if targets else 0
    unasked = 2 * GRID**2 * IN_DIM * SMALL.model.dim
    assert step_flop(SMALL, GRID, IN_DIM, targets) == pytest.approx(student + unasked + teacher + prototypes, rel=1e-12)


def test_clustering_is_what_torch_counts() -> None:
    network = Network(SMALL, IN_DIM)
    with torch.no_grad():
        found = counted(lambda: network.embed(torch.zeros(1, 6, 6, IN_DIM)))
    assert cluster_flop(SMALL, IN_DIM) == pytest.approx(found, rel=1e-12)


def test_a_step_of_the_papers_by_hand() -> None:
    block = 12 * 192**2
    long, short = 197 * (6 * block + 6 * 2 * 197 * 192), 37 * (6 * block + 6 * 2 * 37 * 192)
    phi, last = 256 * 384 * 192, 256 * 65536
    head = 192 * 2048 + 2048 * 2048 + 2048 * 256 + last
    student, teacher = 2 * long + 8 * short + phi + 10 * head, 2 * long + phi + 2 * head + 2 * last
    assert step_flop(PretrainRun(), 16, 384) == pytest.approx(2 * (3 * student + teacher), rel=1e-12)
