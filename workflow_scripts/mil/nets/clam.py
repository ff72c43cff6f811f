"""CLAM: attention that is also trained to tell instances of most from those of least attention apart."""

import torch
from torch import Tensor
from torch.nn import functional as F

from workflow_scripts.mil.nets.batch import Batch, GatedScores, Linear, Net, Output, Sizes, Stream, attend, only


class ClamSb(Net):
    """CLAM with a single attention branch (Lu et al. 2021, arXiv 2004.09666), mutually exclusive classes.

    The instance loss is their cross-entropy form: the `instances` of most attention are evidence for the bag's class
    (target 1 of its instance classifier) and against the others (target 0 of theirs), those of least attention are
    against the bag's class. Bags of fewer than twice as many take half of their own. Without classes there is none.
    """

    branches = 1

    def __init__(self, sizes: Sizes) -> None:
        super().__init__(sizes)
        self.score = GatedScores(sizes, self.branches)
        self.classify = Linear(sizes.jobs, sizes.hidden, sizes.outputs)
        self.classify_instances = Linear(sizes.jobs, sizes.hidden, 2 * sizes.outputs)

    def forward(self, batch: Batch) -> Output:
        hidden = self.embed(batch)
        scores = self.score(hidden)
        branches = [attend(scores[..., branch], batch.block) for branch in range(self.branches)]
        logits = self.bag_logits([torch.bmm(weights, hidden) for weights in branches])
        attention = torch.stack(branches).mean(dim=0)
        weight = float(self.sizes.own["instance_weight"])
        if batch.labels is None:
            return only(logits, attention)
        own = (weight, self.instance_loss(hidden, scores, batch.block, batch.labels))
        return Output(logits, (Stream(1.0 - weight, logits.unsqueeze(2)),), own, attention)

    def bag_logits(self, pooled: list[Tensor]) -> Tensor:
        """Logits `[J, B, C]` of what each branch has pooled, `[J, B, H]`."""
        return self.classify(pooled[0])

    def instance_loss(self, hidden: Tensor, scores: Tensor, block: Tensor, labels: Tensor) -> Tensor:
        """Mean over classes of their cross-entropies, `[J, B]`."""
        jobs, _, length = block.shape
        classes = self.sizes.outputs
        if self.branches == 1:
            scores = scores.expand(-1, -1, classes)
        of_bag = scores.transpose(1, 2).unsqueeze(1).detach()  # [J, 1, C, T]
        count = min(int(self.sizes.own["instances"]), length)
        top = of_bag.masked_fill(~block.unsqueeze(2), -torch.inf).topk(count, dim=-1).indices  # [J, B, C, k]
        low = of_bag.masked_fill(~block.unsqueeze(2), torch.inf).topk(count, dim=-1, largest=False).indices
        logits = self.classify_instances(hidden).view(jobs, length, classes, 2)
        job = torch.arange(jobs, device=hidden.device)[:, None, None, None]
        each = torch.arange(classes, device=hidden.device)[:, None]
        taken = (block.sum(dim=-1) // 2).clamp(max=count)[:, :, None, None]  # of a bag
        used = torch.arange(count, device=hidden.device) < taken  # [J, B, 1, k]
        own = (torch.arange(classes, device=hidden.device) == labels.unsqueeze(-1)).unsqueeze(-1)  # [J, B, C, 1]
        of_top, of_low = (F.log_softmax(logits[job, at, each], dim=-1) for at in (top, low))
        first = -(torch.where(own, of_top[..., 1], of_top[..., 0]) * used).sum(dim=-1)
        second = -(of_low[..., 0] * (used & own)).sum(dim=-1)
        terms = taken.squeeze(-1) * (1 + own.squeeze(-1))
        return ((first + second) / terms.clamp(min=1)).mean(dim=-1)


class ClamMb(ClamSb):
    """CLAM with an attention branch and a classifier of its own for every class; the mean of branches is told."""

    def __init__(self, sizes: Sizes) -> None:
        self.branches = sizes.outputs
        super().__init__(sizes)

    def bag_logits(self, pooled: list[Tensor]) -> Tensor:
        weight, bias = self.classify.weight, self.classify.bias
        assert bias is not None
        logits = [torch.bmm(own, weight[..., c : c + 1]) for c, own in enumerate(pooled)]
        return torch.cat(logits, dim=-1) + bias
