"""Mean and max pooling of instances' logits."""

from abc import abstractmethod

import torch
from torch import Tensor

from workflow_scripts.mil.nets.batch import Batch, Linear, Net, Output, Sizes, only


class _Pooled(Net):
    """Each instance is classified, and the bag's logits are pooled of its instances'."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__(sizes)
        self.classify = Linear(sizes.jobs, sizes.hidden, sizes.outputs)

    def forward(self, batch: Batch) -> Output:
        return only(self.pool(self.classify(self.embed(batch)), batch.block))

    @abstractmethod
    def pool(self, logits: Tensor, block: Tensor) -> Tensor:
        """Logits `[J, B, C]` of instances' `[J, T, C]`."""


class MeanMil(_Pooled):
    """The mean of the instances' logits."""

    def pool(self, logits: Tensor, block: Tensor) -> Tensor:
        share = block.to(logits.dtype) / block.sum(dim=-1, keepdim=True)
        return torch.bmm(share, logits)


class MaxMil(_Pooled):
    """The largest logit of each class among the instances."""

    def pool(self, logits: Tensor, block: Tensor) -> Tensor:
        every = logits.transpose(1, 2).unsqueeze(1).masked_fill(~block.unsqueeze(2), -torch.inf)  # [J, B, C, T]
        return every.max(dim=-1).values
