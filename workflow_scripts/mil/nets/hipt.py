"""The slide level of HIPT: a transformer over region vectors, pooled by gated attention."""

import torch
from torch import nn

from workflow_scripts.mil.nets.batch import Batch, GatedScores, Linear, Net, Output, Sizes, attend, only
from workflow_scripts.mil.nets.transformer import Block


class Hipt(Net):
    """HIPT's head on region vectors (Chen et al. 2022, arXiv 2206.02647): embedding, transformer, gated attention.

    The network inside a block is 4 times as wide as the embedding.
    """

    padded = True

    def __init__(self, sizes: Sizes) -> None:
        super().__init__(sizes)
        heads, depth = int(sizes.own["attention_heads"]), int(sizes.own["depth"])
        self.blocks = nn.ModuleList(Block(sizes.jobs, sizes.hidden, heads) for _ in range(depth))
        self.score = GatedScores(sizes)
        self.classify = Linear(sizes.jobs, sizes.hidden, sizes.outputs)

    def forward(self, batch: Batch) -> Output:
        tokens = self.embed(batch).unflatten(1, (-1, batch.width))
        valid = batch.block.any(dim=1).unflatten(1, (-1, batch.width))
        for block in self.blocks:
            tokens = block(tokens, valid)
        hidden = tokens.flatten(1, 2)
        attention = attend(self.score(hidden).squeeze(-1), batch.block)
        return only(self.classify(torch.bmm(attention, hidden)), attention)
