"""DSMIL: an instance stream that finds the critical instance, and attention by likeness to it."""

import math

import torch
from torch import nn

from workflow_scripts.mil.nets.batch import Batch, Linear, Net, Output, Sizes, Stream


class Dsmil(Net):
    """Dual-stream MIL (Li, Li and Eliceiri 2021, arXiv 2011.08939).

    For each class, instances are weighed by the likeness of their query to that of the instance with the class's
    largest logit; a bag's classifier sees the means of all classes. The prediction is the mean of both streams'
    logits, each of which is trained with half of the loss. Of the classes' weights the mean is told as attention.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__(sizes)
        self.classify_instances = Linear(sizes.jobs, sizes.hidden, sizes.outputs)
        self.query = nn.ModuleList(
            [Linear(sizes.jobs, sizes.hidden, sizes.attention), Linear(sizes.jobs, sizes.attention, sizes.attention)]
        )
        self.classify = Linear(sizes.jobs, sizes.outputs * sizes.hidden, sizes.outputs)

    def forward(self, batch: Batch) -> Output:
        hidden, block = self.embed(batch), batch.block
        jobs, bags, length = block.shape
        classes = self.sizes.outputs
        logits = self.classify_instances(hidden)
        every = logits.transpose(1, 2).unsqueeze(1).masked_fill(~block.unsqueeze(2), -torch.inf)  # [J, B, C, T]
        largest = every.max(dim=-1)
        query = torch.tanh(self.query[1](torch.relu(self.query[0](hidden))))
        critical = query[torch.arange(jobs, device=query.device)[:, None], largest.indices.flatten(1)]  # [J, B C, A]
        likeness = torch.bmm(critical, query.transpose(1, 2)) / math.sqrt(self.sizes.attention)
        likeness = likeness.view(jobs, bags, classes, length).masked_fill(~block.unsqueeze(2), -torch.inf)
        weights = likeness.softmax(dim=-1)
        pooled = torch.bmm(weights.flatten(1, 2), hidden)
        of_bag = self.classify(pooled.view(jobs, bags, -1))
        streams = tuple(Stream(0.5, of.unsqueeze(2)) for of in (of_bag, largest.values))
        return Output((of_bag + largest.values) / 2, streams, attention=weights.mean(dim=2))
