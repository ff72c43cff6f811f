"""TransMIL: a class token among a bag's instances, which are laid on a square grid."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from workflow_scripts.mil.nets.batch import Batch, Linear, Net, Norm, Output, Sizes, only
from workflow_scripts.mil.nets.transformer import SelfAttention

KERNEL = 33  # tokens that the convolution of values spans


class _Layer(nn.Module):
    """Attention on normalised tokens, plus a convolution of their values along the bag, added to the tokens."""

    def __init__(self, jobs: int, width: int, heads: int) -> None:
        super().__init__()
        self.norm, self.attention = Norm(jobs, width), SelfAttention(jobs, width, heads, bias=False)
        self.along = Linear(jobs, KERNEL, heads, bias=False)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        jobs, bags, tokens, _ = x.shape
        inner = self.attention
        normal = self.norm(x) * valid.unsqueeze(-1)  # what is not there has no value
        mixed, values = inner.mixed(normal, valid)
        along = values.view(jobs, bags, inner.heads, tokens, -1).permute(1, 0, 2, 3, 4).flatten(1, 2)
        kernel = self.along.weight.transpose(1, 2).reshape(jobs * inner.heads, 1, KERNEL, 1)
        along = F.conv2d(along, kernel, padding=(KERNEL // 2, 0), groups=jobs * inner.heads)
        along = along.view(bags, jobs, inner.heads, tokens, -1).transpose(0, 1).flatten(0, 1)
        return x + inner.join(mixed + along, x.shape)

    def of_token(self, x: Tensor, valid: Tensor) -> Tensor:
        """The first token of `forward`'s result, `[J, B, width]`, without what that computes of the others.

        Of one query the weights of all tokens are cheap, and the convolution adds to those of the nearest. So tokens
        are averaged before they are multiplied into values, and the query is multiplied by the keys' weights instead.
        """
        jobs, _, tokens, width = x.shape
        inner = self.attention
        normal = self.norm(x) * valid.unsqueeze(-1)
        of_query, of_key, of_value = inner.qkv.weight.view(jobs, width, 3, inner.heads, -1).permute(2, 0, 3, 1, 4)
        query = torch.einsum("jbw,jhwd,jhvd->jbhv", normal[:, :, 0], of_query, of_key)
        scores = query @ normal.transpose(-2, -1) * of_key.shape[-1] ** -0.5
        share = scores.masked_fill(~valid.unsqueeze(2), -torch.inf).softmax(dim=-1)  # [J, B, heads, tokens]
        near = self.along.weight[:, KERNEL // 2 :][:, :tokens].transpose(1, 2)
        share = share + F.pad(near, (0, tokens - near.shape[-1])).unsqueeze(1)
        mixed = torch.einsum("jbhw,jhwd->jbhd", share @ normal, of_value)
        return x[:, :, 0] + inner.out(mixed.flatten(2))


class Transmil(Net):
    """TransMIL (Shao et al. 2021, arXiv 2106.00908) with exact attention in place of Nystroem's approximation.

    Instances fill a square grid row by row, the first ones once more where it has room; between two layers of
    attention, depth-wise convolutions of 7, 5 and 3 cells tell neighbours of each other (PPEG). A class token carries
    the result.
    """

    padded = True

    def __init__(self, sizes: Sizes) -> None:
        super().__init__(sizes)
        jobs, width, heads = sizes.jobs, sizes.hidden, int(sizes.own["attention_heads"])
        self.token = Linear(jobs, 1, width, bias=False)  # one vector a job
        self.first, self.second = _Layer(jobs, width, heads), _Layer(jobs, width, heads)
        self.seven, self.five, self.three = (Linear(jobs, size * size, width) for size in (7, 5, 3))
        self.norm, self.classify = Norm(jobs, width), Linear(jobs, width, sizes.outputs)

    def forward(self, batch: Batch) -> Output:
        tokens = self.embed(batch).unflatten(1, (-1, batch.width))
        counts = batch.block.sum(dim=-1)
        side = counts.to(torch.float64).sqrt().ceil().long()
        tokens, valid = self.squared(tokens, counts, side)
        first = self.token.weight.unsqueeze(1).expand(-1, tokens.shape[1], -1, -1)
        there = torch.ones_like(valid[..., :1])
        x, valid = torch.cat([first, tokens], dim=2), torch.cat([there, valid], dim=2)
        x = self.first(x, valid)
        x = torch.cat([x[:, :, :1], self.with_neighbours(x[:, :, 1:], valid[..., 1:], side)], dim=2)
        return only(self.classify(self.norm(self.second.of_token(x, valid))))

    @staticmethod
    def squared(tokens: Tensor, counts: Tensor, side: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens `[J, B, S S, H]` of the largest grid, each bag's first ones repeated, and which are there."""
        jobs, bags, width, _ = tokens.shape
        place = torch.arange(int(side.max()) ** 2, device=tokens.device)
        valid = place < (side**2).unsqueeze(-1)
        source = torch.where(place < counts.unsqueeze(-1), place, place - counts.unsqueeze(-1))
        source = torch.where(valid, source, 0)
        bag = torch.arange(jobs * bags, device=tokens.device).view(jobs, bags, 1)
        return tokens.flatten(0, 2)[bag * width + source] * valid.unsqueeze(-1), valid

    def with_neighbours(self, tokens: Tensor, valid: Tensor, side: Tensor) -> Tensor:
        """Each bag on its own grid in the corner of the largest one, whose other cells are empty."""
        jobs, bags, cells, width = tokens.shape
        largest = int(cells**0.5 + 0.5)
        place, own = torch.arange(cells, device=tokens.device), side.unsqueeze(-1)
        row, column = place // largest, place % largest
        inside = (row < own) & (column < own)
        source = torch.where(inside, row * own + column, 0)
        bag = torch.arange(jobs * bags, device=tokens.device).view(jobs, bags, 1) * cells
        grid = tokens.flatten(0, 2)[bag + source] * inside.unsqueeze(-1)
        grid = grid.view(jobs, bags, largest, largest, width).permute(1, 0, 4, 2, 3).flatten(1, 2)
        mixed = F.conv2d(grid, self.kernel(jobs, width), self.offset(), padding=3, groups=jobs * width)
        mixed = mixed.view(bags, jobs, width, cells).permute(1, 0, 3, 2).flatten(0, 2)
        target = torch.where(valid, place // own * largest + place % own, 0)
        return mixed[bag + target] * valid.unsqueeze(-1)

    def kernel(self, jobs: int, width: int) -> Tensor:
        """The three convolutions and the token itself as one kernel, `[J H, 1, 7, 7]`."""
        total = torch.zeros(jobs * width, 1, 7, 7, dtype=self.token.weight.dtype, device=self.token.weight.device)
        total[..., 3, 3] = 1.0
        for size, part in ((7, self.seven), (5, self.five), (3, self.three)):
            total = total + F.pad(part.weight.transpose(1, 2).reshape(-1, 1, size, size), [(7 - size) // 2] * 4)
        return total

    def offset(self) -> Tensor:
        """What the three convolutions add to every cell, `[J H]`."""
        biases: list[Tensor] = [part.bias for part in (self.seven, self.five, self.three) if part.bias is not None]
        return torch.cat(biases, dim=1).sum(dim=1).flatten()
