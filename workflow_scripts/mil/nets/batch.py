"""What a network is given, what it gives back, and the layers that all of them are made of.

Shapes: J jobs of a stack, B bags a job, T instances of its bags together, H the width of the embedding, C outputs.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Batch:
    """B bags of each of J jobs, their instances one after another.

    Attributes:
        x: standardised instances float `[J, T, D]`; slots behind a job's last instance hold anything finite.
        block: which instances are of which bag, bool `[J, B, T]`; every bag has one at least.
        owner: the bag of each instance, int64 `[J, T]`; B for a slot of none.
        width: slots of each bag where all have the same number (T = B width); 0 where bags follow each other directly.
        keep: what dropout multiplies a bag's embedding by, float `[J, B, H]`, or where bags have `width` slots, that of
            each instance, `[J, T, H]`; None drops nothing.
        labels: class of each bag, int64 `[J, B]`; None outside training and for tasks without classes.
        parts: for networks that deal a bag's instances into parts, the part of each, int64 `[J, T]`.
    """

    x: Tensor
    block: Tensor
    owner: Tensor
    width: int = 0
    keep: Tensor | None = None
    labels: Tensor | None = None
    parts: Tensor | None = None


class Stream(NamedTuple):
    """Logits `[J, B, P, C]` that are trained on their bag's target, by a share of the loss.

    `valid`, bool `[J, B, P]`, tells which of the P exist; None means all.
    """

    share: float
    logits: Tensor
    valid: Tensor | None = None


class Output(NamedTuple):
    """What a network gives.

    Attributes:
        logits: `[J, B, C]`, to predict with.
        streams: what is trained.
        own: a loss `[J, B]` of the network's own with its share.
        attention: weights `[J, B, T]` by which each bag's instances are pooled, which sum to 1 in a bag and are zero
            for those of other bags; None of networks that pool otherwise.
    """

    logits: Tensor
    streams: tuple[Stream, ...]
    own: tuple[float, Tensor] | None = None
    attention: Tensor | None = None


def only(logits: Tensor, attention: Tensor | None = None) -> Output:
    """Output of a network that is trained on what it predicts, logits `[J, B, C]`."""
    return Output(logits, (Stream(1.0, logits.unsqueeze(2)),), attention=attention)


class Linear(nn.Module):
    """`nn.Linear` of every job, on `[J, ..., inputs]`: weights `[J, inputs, outputs]`."""

    def __init__(self, jobs: int, inputs: int, outputs: int, bias: bool = True) -> None:
        super().__init__()
        self.inputs = inputs
        self.weight = nn.Parameter(torch.empty(jobs, inputs, outputs))
        self.bias = nn.Parameter(torch.empty(jobs, 1, outputs)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(1, -2)
        out = torch.bmm(flat, self.weight) if self.bias is None else torch.baddbmm(self.bias, flat, self.weight)
        return out.view(*x.shape[:-1], out.shape[-1])


class Norm(nn.Module):
    """`nn.LayerNorm` of every job, on `[J, ..., width]`."""

    def __init__(self, jobs: int, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(jobs, width))
        self.shift = nn.Parameter(torch.zeros(jobs, width))

    def forward(self, x: Tensor) -> Tensor:
        shape = (x.shape[0], *[1] * (x.dim() - 2), x.shape[-1])
        return nn.functional.layer_norm(x, x.shape[-1:]) * self.gain.view(shape) + self.shift.view(shape)


def draw_weights(net: nn.Module, seeds: list[int]) -> None:
    """Initialise each job's weights as PyTorch does those of its own layers, from the job's seed alone."""
    for job, seed in enumerate(seeds):
        generator = torch.Generator().manual_seed(seed % 2**63)
        for module in net.modules():
            if isinstance(module, Linear):
                bound = 1 / math.sqrt(module.inputs)
                for weight in module.parameters(recurse=False):
                    drawn = torch.empty(weight.shape[1:]).uniform_(-bound, bound, generator=generator)
                    weight.data[job] = drawn


@dataclass(frozen=True)
class Sizes:
    """Sizes of a network.

    Attributes:
        jobs: J jobs of the stack.
        inputs: dimensions D of an instance.
        outputs: logits C.
        hidden: width H of the embedding.
        attention: width of the attention.
        own: settings of this network, by name.
    """

    jobs: int
    inputs: int
    outputs: int
    hidden: int = 128
    attention: int = 64
    own: dict[str, float] = field(default_factory=dict)


class Net(nn.Module, ABC):
    """A network on bags: embeds instances by a linear layer, ReLU and dropout, `hidden = self.embed(batch)`.

    Attributes:
        padded: whether it wants every bag in the same number of slots, for self-attention.
        parts: parts into which it wants a bag's instances dealt; 0 for none.
    """

    padded = False
    parts = 0

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.embedding = Linear(sizes.jobs, sizes.inputs, sizes.hidden)

    def embed(self, batch: Batch) -> Tensor:
        """Instances `[J, T, H]`. Dropout takes the same values of all instances of a bag, unless bags are padded.

        Gal and Ghahramani 2016 (arXiv 1512.05287) drop so along a sequence; a mask of every instance would cost more
        than the layer itself. Self-attention does not learn well from tokens that all lack the same values, and costs
        so much more that a mask of every instance is cheap.
        """
        hidden = torch.relu(self.embedding(batch.x))
        if batch.keep is None:
            return hidden
        if batch.width:
            return hidden * batch.keep
        jobs, bags, width = batch.keep.shape
        owner = batch.owner.clamp(max=bags - 1) + bags * torch.arange(jobs, device=hidden.device)[:, None]
        return hidden * batch.keep.view(-1, width)[owner.view(-1)].view(hidden.shape)

    @abstractmethod
    def forward(self, batch: Batch) -> Output:
        """Logits of the bags, and what the network has of a loss of its own."""


class GatedScores(nn.Module):
    """Attention scores of instances (Ilse et al. 2018, arXiv 1802.04712, eq. 9, or 8 without the gate)."""

    def __init__(self, sizes: Sizes, branches: int = 1, gated: bool = True, inputs: int = 0) -> None:
        super().__init__()
        self.gated = gated
        inputs = inputs or sizes.hidden
        self.content = Linear(sizes.jobs, inputs, sizes.attention * (2 if gated else 1))  # with the gate behind it
        self.weigh = Linear(sizes.jobs, sizes.attention, branches)

    def forward(self, hidden: Tensor) -> Tensor:
        """Scores `[J, T, branches]` of instances `[J, T, H]`."""
        content = self.content(hidden)
        if not self.gated:
            return self.weigh(_tanh(content))
        content, gate = content.chunk(2, dim=-1)
        return self.weigh(_tanh(content) * torch.sigmoid(gate))


def _tanh(x: Tensor) -> Tensor:
    """tanh, ten times as fast on a CPU."""
    return 2 * torch.sigmoid(2 * x) - 1


def attend(scores: Tensor, block: Tensor) -> Tensor:
    """Softmax of scores `[J, T]` over each bag's instances, `[J, B, T]`, zero for those of other bags."""
    return scores.unsqueeze(1).masked_fill(~block, -torch.inf).softmax(dim=-1)
