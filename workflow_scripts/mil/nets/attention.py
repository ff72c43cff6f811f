"""Attention-based multiple-instance learning, plain and gated."""

import torch

from workflow_scripts.mil.nets.batch import Batch, GatedScores, Linear, Net, Output, Sizes, attend, only


class Abmil(Net):
    """Gated attention over all instances (Ilse et al. 2018, arXiv 1802.04712, eq. 7 and 9)."""

    gated = True

    def __init__(self, sizes: Sizes) -> None:
        super().__init__(sizes)
        self.score = GatedScores(sizes, gated=self.gated)
        self.classify = Linear(sizes.jobs, sizes.hidden, sizes.outputs)

    def forward(self, batch: Batch) -> Output:
        hidden = self.embed(batch)
        attention = attend(self.score(hidden).squeeze(-1), batch.block)
        return only(self.classify(torch.bmm(attention, hidden)), attention)


class PlainAbmil(Abmil):
    """Attention without the gate (eq. 8)."""

    gated = False
