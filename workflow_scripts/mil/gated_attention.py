"""The gated-attention network and its training loop."""

import copy
import os
from collections.abc import Iterator
from contextlib import contextmanager

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS repeats its bits only with a fixed workspace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

HIDDEN = 128
ATTENTION = 64
DROPOUT = 0.25
LR = 2e-4
WEIGHT_DECAY = 1e-5


class GatedAttention(nn.Module):
    """Bag of regions `[m, R]` to class logits `[C]`: embed, weigh by gated attention, sum, classify."""

    def __init__(self, dim: int, n_classes: int) -> None:
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(dim, HIDDEN), nn.ReLU(), nn.Dropout(DROPOUT))
        self.content = nn.Linear(HIDDEN, ATTENTION)
        self.gate = nn.Linear(HIDDEN, ATTENTION)
        self.weigh = nn.Linear(ATTENTION, 1)
        self.classify = nn.Linear(HIDDEN, n_classes)

    def forward(self, regions: Tensor) -> Tensor:
        hidden = self.embed(regions)
        score = self.weigh(torch.tanh(self.content(hidden)) * torch.sigmoid(self.gate(hidden)))
        return self.classify((score.softmax(dim=0) * hidden).sum(dim=0))


@contextmanager
def _repeatable(seed: int) -> Iterator[None]:
    """Seeded, deterministic arithmetic on one CPU thread (bags are small), global state restored afterwards."""
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        torch.set_num_threads(1)
        torch.use_deterministic_algorithms(True)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            torch.use_deterministic_algorithms(strict)


def _logits(net: GatedAttention, bags: list[Tensor]) -> Tensor:
    net.eval()
    with torch.no_grad():
        return torch.stack([net(bag) for bag in bags])


def _tensors(bags: list[np.ndarray], device: torch.device) -> list[Tensor]:
    return [torch.from_numpy(bag).to(device) for bag in bags]


def train_net(
    bags: list[np.ndarray],
    label: np.ndarray,
    n_classes: int,
    epochs: int,
    seed: int,
    held_out: tuple[list[np.ndarray], np.ndarray] | None = None,
) -> GatedAttention:
    """Train on bags of scaled regions with Adam, one bag a step.

    Args:
        bags: n matrices float32 `[m_i, R]`.
        label: int64 `[n]`.
        n_classes: number of classes C.
        epochs: passes over the bags.
        seed: seed of initialisation, order and dropout; the same seed gives the same bits.
        held_out: bags and labels whose loss chooses the epoch; None keeps the last.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    counts = np.bincount(label, minlength=n_classes)
    weight = torch.tensor(len(label) / (n_classes * np.maximum(counts, 1)), dtype=torch.float32, device=device)
    inputs, targets = _tensors(bags, device), torch.from_numpy(label).to(device)
    checks = (_tensors(held_out[0], device), torch.from_numpy(held_out[1]).to(device)) if held_out else None
    best: tuple[float, dict[str, Tensor]] | None = None
    with _repeatable(seed):
        net = GatedAttention(bags[0].shape[1], n_classes).to(device)
        adam = torch.optim.Adam(net.parameters(), lr=LR, weight_decay=WEIGHT_DECAY)
        for _ in range(epochs):
            net.train()
            for index in torch.randperm(len(inputs)).tolist():
                # times the weight by hand: the weighted mean over one bag would divide it out again
                loss = F.cross_entropy(net(inputs[index]), targets[index]) * weight[targets[index]]
                adam.zero_grad()
                loss.backward()
                adam.step()
            if checks:
                check = F.cross_entropy(_logits(net, checks[0]), checks[1], weight).item()
                if best is None or check < best[0]:
                    best = check, copy.deepcopy(net.state_dict())
        if best:
            net.load_state_dict(best[1])
    return net


def predict_net(net: GatedAttention, bags: list[np.ndarray]) -> np.ndarray:
    """Class probabilities float64 `[n, C]` of bags float32 `[m_i, R]`, every region of a bag used."""
    device = next(net.parameters()).device
    with _repeatable(0):
        return _logits(net, _tensors(bags, device)).double().softmax(dim=1).cpu().numpy()
