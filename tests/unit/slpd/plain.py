"""A second implementation of network, losses and optimiser in plain loops, to compare with; differentiable."""

import math

import numpy as np
import torch
from torch import Tensor

from workflow_scripts.config import Pretrain, PretrainRun
from workflow_scripts.config.base import merge

TINY: dict[str, object] = {
    "model": {"dim": 8, "depth": 2, "heads": 2, "mlp_ratio": 2.0, "drop_path": 0.0},
    "head": {"hidden": 8, "bottleneck": 4, "out_dim": 6},
    "crops": {"global_size": 3, "global_count": 2, "local_size": 2, "local_count": 2},
    "optimiser": {"batch_size": 4, "lr": 0.05, "lr_warmup_epochs": 1, "freeze_last_layer_epochs": 1},
    "prototypes": {"count": 2, "min_regions": 3},
    "neighbours": {"count": 2},
    "warmup_epochs": 1,
    "rounds": 3,
    "schedule_epochs": 6,
    "precision": "float32",  # and float64 where a test makes the state so
}


def tiny_run(**over: object) -> PretrainRun:
    """A run small enough for plain loops; `over` replaces keys of the same sections."""
    return PretrainRun.model_validate(merge(TINY, over))


def official_run(**over: object) -> PretrainRun:
    """The tiny run under the preset `official`, as a configuration would ask for it."""
    pretrain = {"preset": "official", "defaults": merge(TINY, over), "runs": {"slpd": {}}}
    return Pretrain.model_validate(pretrain).run("slpd")


def gelu(x: Tensor) -> Tensor:
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    mean = x.mean(-1, keepdim=True)
    variance = ((x - mean) ** 2).mean(-1, keepdim=True)
    return (x - mean) / torch.sqrt(variance + 1e-6) * weight + bias


def keys_cubic(t: float) -> float:
    """Keys' cubic convolution kernel with a = -0.75."""
    a, t = -0.75, abs(t)
    if t <= 1:
        return (a + 2) * t**3 - (a + 3) * t**2 + 1
    if t < 2:
        return a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a
    return 0.0


def cubic_matrix(side: int, out: int) -> Tensor:
    """Row o holds the weights of the `side` samples in output o, at scale (out + 0.1) / side, borders repeated."""
    matrix = torch.zeros(out, side, dtype=torch.float64)
    for o in range(out):
        place = (o + 0.5) * side / (out + 0.1) - 0.5
        for tap in range(math.floor(place) - 1, math.floor(place) + 3):
            matrix[o, min(max(tap, 0), side - 1)] += keys_cubic(place - tap)
    return matrix


def positions(pos_embed: Tensor, side: int, h: int, w: int) -> Tensor:
    """Position embeddings `[1 + h*w, dim]`."""
    if h == w == side:
        return pos_embed[0]
    grid = pos_embed[0, 1:].reshape(side, side, -1)
    down, across = cubic_matrix(side, h).to(grid), cubic_matrix(side, w).to(grid)
    patches = torch.einsum("oi,pj,ijd->opd", down, across, grid).reshape(h * w, -1)
    return torch.cat([pos_embed[0, :1], patches])


def linear(p: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]


def attention(p: dict[str, Tensor], block: str, x: Tensor, heads: int) -> Tensor:
    """Self-attention of one sequence `[t, dim]`, head by head, with the whole matrix of scores."""
    d = x.shape[1]
    width = d // heads
    qkv = linear(p, f"{block}.qkv", x)
    q, k, v = qkv[:, :d], qkv[:, d : 2 * d], qkv[:, 2 * d :]
    parts = []
    for head in range(heads):
        cut = slice(head * width, (head + 1) * width)
        scores = q[:, cut] @ k[:, cut].T / math.sqrt(width)
        weights = torch.exp(scores - scores.max())
        parts.append(weights / weights.sum(1, keepdim=True) @ v[:, cut])
    return linear(p, f"{block}.proj", torch.cat(parts, 1))


def vit(
    p: dict[str, Tensor], tokens: Tensor, keep: list[int], heads: int, depth: int, side: int, scale: list | None = None
) -> Tensor:
    """CLS embedding `[dim]` of one region `[h, w, D]`; tokens not in `keep` are left out of the sequence.

    `scale[b]` are the factors that stochastic depth puts on the two residual branches of block b; None is 1.
    """
    h, w, _ = tokens.shape
    x = gelu(linear(p, "phi", tokens.reshape(h * w, -1)))
    x = torch.cat([p["cls_token"][0], x]) + positions(p["pos_embed"], side, h, w)
    x = x[[0] + [1 + i for i in keep]]
    for b in range(depth):
        block, (first, second) = f"blocks.{b}", scale[b] if scale else (1.0, 1.0)
        normed = layer_norm(x, p[f"{block}.norm1.weight"], p[f"{block}.norm1.bias"])
        x = x + first * attention(p, block, normed, heads)
        normed = layer_norm(x, p[f"{block}.norm2.weight"], p[f"{block}.norm2.bias"])
        x = x + second * linear(p, f"{block}.fc2", gelu(linear(p, f"{block}.fc1", normed)))
    return layer_norm(x[0], p["norm.weight"], p["norm.bias"])


def last_layer(p: dict[str, Tensor], z: Tensor) -> Tensor:
    weight = p["head.last_layer"]
    return torch.stack([(weight[c] / torch.sqrt((weight[c] ** 2).sum()) * z).sum() for c in range(len(weight))])


def logits(p: dict[str, Tensor], feature: Tensor) -> Tensor:
    """Head's logits `[C]` of one backbone feature `[dim]`."""
    x = gelu(linear(p, "head.fc1", feature))
    x = linear(p, "head.fc3", gelu(linear(p, "head.fc2", x)))
    return last_layer(p, x / torch.sqrt((x**2).sum()))


def softmax(x: Tensor) -> Tensor:
    e = torch.exp(x - x.max())
    return e / e.sum()


def cross_entropy(target: Tensor, student: Tensor) -> Tensor:
    """-sum_c Q_c log softmax(s)_c over classes."""
    log_p = torch.log(softmax(student))
    return -sum(target[c] * log_p[c] for c in range(len(target)))


def self_loss(targets: Tensor, student: Tensor) -> Tensor:
    """All pairs of a global crop's target and another crop, over all regions."""
    terms = [
        cross_entropy(targets[i, b], student[v, b])
        for i in range(targets.shape[0])
        for v in range(student.shape[0])
        for b in range(student.shape[1])
        if v != i
    ]
    return sum(terms) / len(terms)


def sinkhorn(logits: list[Tensor], temperature: float) -> list[Tensor]:
    """Targets of a batch's logits by the three iterations that SwAV published (its listing, row by row)."""
    q = torch.exp(torch.stack(logits, 1) / temperature)  # [C, n]
    q = q / q.sum()
    for _ in range(3):
        for c in range(q.shape[0]):
            q[c] = q[c] / q[c].sum() / q.shape[0]
        for n in range(q.shape[1]):
            q[:, n] = q[:, n] / q[:, n].sum() / q.shape[1]
    return [q[:, n] * q.shape[1] for n in range(q.shape[1])]


def prototype_loss(
    targets: Tensor, present: Tensor, student: Tensor, skip_same_index: bool = False, weights: Tensor | None = None
) -> Tensor:
    """Mean over crops and a region's targets by their weights, then over the regions that have a target.

    With `skip_same_index` the pair of target t and crop v = t is left out (docs/method.md, row 5).
    """
    regions = []
    for b in range(student.shape[1]):
        terms, total = [], 0.0
        for t in range(targets.shape[0]):
            for v in range(student.shape[0]):
                if present[t, b] and not (skip_same_index and v == t):
                    weight = 1.0 if weights is None else float(weights[t, b])
                    terms.append(weight * cross_entropy(targets[t, b], student[v, b]))
                    total += weight
        if terms:
            regions.append(sum(terms) / total)
    return sum(regions) / len(regions) if regions else student.sum() * 0.0


def adamw(p: Tensor, moments: tuple, gradient: Tensor, lr: float, decay: float) -> tuple[Tensor, tuple]:
    """AdamW with torch's default betas and eps: the new parameter, and its moments and step count."""
    first, second, t = moments
    first, second, t = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2, t + 1
    p = p - lr * decay * p
    return p - lr * (first / (1 - 0.9**t)) / (torch.sqrt(second / (1 - 0.999**t)) + 1e-8), (first, second, t)


def clip(gradient: Tensor, limit: float) -> tuple[Tensor, bool]:
    """One parameter's gradient scaled by limit / (norm + 1e-6) where that is below 1; 0 is no limit."""
    norm = math.sqrt(sum(x**2 for x in gradient.flatten().tolist()))
    scale = limit / (norm + 1e-6)
    return (gradient * scale, True) if limit and scale < 1 else (gradient, False)


def half_cosine(start: float, end: float, at: int, length: int) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * at / length)) / 2


def learning_rate(peak: float, end: float, step: int, warm: int, steps: int) -> float:
    """Linear from 0, reaching the peak on the last of `warm` steps; a half cosine over the others."""
    if step < warm:
        return np.linspace(0, peak, warm)[step]
    return half_cosine(peak, end, step - warm, steps - warm)
