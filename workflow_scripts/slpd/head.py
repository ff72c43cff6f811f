"""The projection head: three linear layers, an L2-normalised bottleneck, and a weight-normed last layer."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workflow_scripts.slpd.vit import init_linear, linear


class DinoHead(nn.Module):
    """DINO's projection head without batch norm.

    The last layer's rows have unit norm (weight norm with its gain fixed at 1), so logits are cosine
    similarities in [-1, 1] between the bottleneck feature and `out_dim` learned directions.
    """

    def __init__(self, in_dim: int, hidden: int, bottleneck: int, out_dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(in_dim, hidden)
        self.fc2 = nn.Linear(hidden, hidden)
        self.fc3 = nn.Linear(hidden, bottleneck)
        self.apply(init_linear)
        self.last_layer = nn.Parameter(torch.empty(out_dim, bottleneck))
        bound = 1 / math.sqrt(bottleneck)
        nn.init.uniform_(self.last_layer, -bound, bound)

    def project(self, x: Tensor) -> Tensor:
        """Unit bottleneck feature `[B, bottleneck]` of `[B, in_dim]`, in the parameters' own precision.

        The three layers compute in the arithmetic of `x`.
        """
        x = linear(self.fc3, F.gelu(linear(self.fc2, F.gelu(linear(self.fc1, x)))))
        return F.normalize(x.to(self.last_layer.dtype), dim=-1)

    def directions(self) -> Tensor:
        """Unit rows `[out_dim, bottleneck]` of the last layer."""
        return F.normalize(self.last_layer, dim=-1)

    def logits(self, z: Tensor) -> Tensor:
        """Logits `[B, out_dim]` of unit features or prototypes `[B, bottleneck]`."""
        return F.linear(z, self.directions())

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(self.project(x))
