"""DTFD-MIL: pseudo-bags, each classified, whose pooled features make the bag."""

import torch

from workflow_scripts.mil.nets.batch import Batch, GatedScores, Linear, Net, Output, Sizes, Stream, attend


class Dtfd(Net):
    """Double-tier feature distillation (Zhang et al. 2022, arXiv 2203.12081), its form AFS.

    A bag's instances are dealt to `pseudo_bags`, at random in training and in turn elsewhere. Gated attention pools
    each, and a second one pools what they give. Both tiers are trained on the bag's target. An instance's attention is
    its weight in its pseudo-bag times that of the pseudo-bag.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__(sizes)
        self.parts = int(sizes.own["pseudo_bags"])
        self.score, self.score_parts = GatedScores(sizes), GatedScores(sizes)
        self.classify_parts = Linear(sizes.jobs, sizes.hidden, sizes.outputs)
        self.classify = Linear(sizes.jobs, sizes.hidden, sizes.outputs)

    def forward(self, batch: Batch) -> Output:
        assert batch.parts is not None
        hidden, block = self.embed(batch), batch.block
        part = batch.parts.unsqueeze(1) == torch.arange(self.parts, device=hidden.device)[:, None]  # [J, P, T]
        inside = block.unsqueeze(2) & part.unsqueeze(1)  # [J, B, P, T]
        valid = inside.any(dim=-1)
        flat = inside.flatten(1, 2)
        # a part without instances gets those of all bags, so that its softmax is finite; nothing below looks at it
        attention = attend(self.score(hidden).squeeze(-1), flat | ~valid.flatten(1).unsqueeze(-1))
        pooled = torch.bmm(attention, hidden)  # [J, B P, H]
        scores = self.score_parts(pooled).view(valid.shape).masked_fill(~valid, -torch.inf)
        of_part = scores.softmax(dim=-1)
        bag = (of_part.unsqueeze(-1) * pooled.view(*valid.shape, -1)).sum(dim=2)
        logits = self.classify(bag)
        of_parts = self.classify_parts(pooled).view(*valid.shape, -1)
        of_instance = torch.einsum("jbp,jbpt->jbt", of_part, attention.view(*valid.shape, -1))
        return Output(logits, (Stream(1.0, logits.unsqueeze(2)), Stream(1.0, of_parts, valid)), attention=of_instance)
