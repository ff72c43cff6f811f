"""What can be had at best: a ViT of the same size that is told the classes of some regions."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from tests.benchmarks.context.cohort import CLASSES, Cohort
from tests.benchmarks.context.measures import slide_folds
from tests.benchmarks.context.training import token_data
from workflow_scripts.config import PretrainRun
from workflow_scripts.core.seeds import derive_seed
from workflow_scripts.slpd.tokens import TokenData
from workflow_scripts.slpd.vit import RegionViT, linear

_BATCH = 64


class Supervised(nn.Module):
    """The region encoder of a run and a linear layer, on whole regions."""

    def __init__(self, settings: PretrainRun, dim: int, grid: int) -> None:
        super().__init__()
        model = settings.model
        self.backbone = RegionViT(dim, model.dim, model.depth, model.heads, model.mlp_ratio, grid)
        self.last = nn.Linear(model.dim, len(CLASSES))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits `[B, classes]` of tokens `[B, g, g, D]`."""
        return linear(self.last, self.backbone(tokens))


def _views(tokens: torch.Tensor, grid: int, generator: torch.Generator) -> torch.Tensor:
    """Tokens `[B, g*g, D]` as regions `[B, g, g, D]`, flipped along each side and transposed at random."""
    x = tokens.unflatten(1, (grid, grid)).float()
    for axis in (1, 2):
        flipped = (torch.rand(len(x), generator=generator) < 0.5).to(x.device)
        x = torch.where(flipped[:, None, None, None], x.flip(axis), x)
    turned = (torch.rand(len(x), generator=generator) < 0.5).to(x.device)
    return torch.where(turned[:, None, None, None], x.transpose(1, 2), x)


def fit(
    settings: PretrainRun, data: TokenData, rows: np.ndarray, classes: np.ndarray, steps: int, lr: float, seed: int
) -> Supervised:
    """A network that was taught the classes of the regions `rows` in so many steps.

    Args:
        settings: of the run whose encoder it has.
        data: tokens of all regions.
        rows: int64 `[n]`.
        classes: int64 `[N]` of all regions.
        steps: of AdamW, with a linear warm-up over a tenth of them and a cosine after it.
        lr: its learning rate.
        seed: of initialisation, order and flips.
    """
    torch.manual_seed(derive_seed(seed, "supervised"))
    generator = torch.Generator().manual_seed(derive_seed(seed, "supervised", "order"))
    network = Supervised(settings, data.dim, data.grid).to(data.device)
    adam = torch.optim.AdamW(network.parameters(), lr=lr, weight_decay=0.05, fused=True)
    warm = max(1, steps // 10)
    rate = torch.optim.lr_scheduler.LambdaLR(
        adam, lambda s: min((s + 1) / warm, 0.5 + 0.5 * np.cos(np.pi * max(0, s - warm) / max(1, steps - warm)))
    )
    order, target, per_epoch = torch.from_numpy(rows), torch.from_numpy(classes), max(1, len(rows) // _BATCH)
    for step in range(steps):
        place = step % per_epoch
        if place == 0:
            order = order[torch.randperm(len(order), generator=generator)]
        batch = order[place * _BATCH : (place + 1) * _BATCH]
        tokens, _ = data.take(batch)
        loss = F.cross_entropy(network(_views(tokens, data.grid, generator)), target[batch].to(data.device))
        adam.zero_grad()
        loss.backward()
        adam.step()
        rate.step()
    return network.eval()


@torch.inference_mode()
def probabilities(network: Supervised, data: TokenData, rows: np.ndarray) -> np.ndarray:
    """Probabilities of the classes of the regions `rows`, float32 `[n, classes]`."""
    parts = torch.from_numpy(rows).split(256)
    found = [network(data.take(part)[0].unflatten(1, (data.grid, data.grid)).float()).softmax(1) for part in parts]
    return torch.cat(found).cpu().numpy()


def told_by_others(
    settings: PretrainRun, cohort: Cohort, device: torch.device, epochs: int, lr: float, seed: int
) -> np.ndarray:
    """Each region's probabilities by a network taught on the slides of the other folds, float32 `[N, classes]`."""
    data, fold = token_data(cohort, device), slide_folds(cohort, 2)[cohort.slide]
    found = np.empty((len(fold), len(CLASSES)), dtype=np.float32)
    for number in np.unique(fold):
        train, test = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        steps = epochs * max(1, len(train) // _BATCH)
        found[test] = probabilities(fit(settings, data, train, cohort.region_class, steps, lr, seed), data, test)
    return found


def accuracy_of(
    settings: PretrainRun, cohort: Cohort, device: torch.device, regions: int, epochs: int, lr: float, seed: int
) -> float:
    """Balanced accuracy on the slides of one fold of a network taught on so many regions of the others.

    It is taught for as many steps as all regions of these slides would ask for.
    """
    data, fold = token_data(cohort, device), slide_folds(cohort, 2)[cohort.slide]
    pool, test = np.flatnonzero(fold != 0), np.flatnonzero(fold == 0)
    rows = np.random.default_rng(derive_seed(seed, "curve", regions)).permutation(pool)[:regions]
    steps = epochs * max(1, len(pool) // _BATCH)
    network = fit(settings, data, rows, cohort.region_class, steps, lr, seed)
    right = probabilities(network, data, test).argmax(axis=1) == cohort.region_class[test]
    return float(np.mean([right[cohort.region_class[test] == c].mean() for c in range(len(CLASSES))]))
