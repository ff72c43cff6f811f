"""The projection head: three linear layers, an L2-normalised bottleneck, and a weight-normed last layer."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workflow_scripts.slpd.vit import init_linear


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
        """Unit bottleneck feature `[B, bottleneck]` of `[B, in_dim]`: what is clustered into prototypes."""
        x = self.fc3(F.gelu(self.fc2(F.gelu(self.fc1(x)))))
        return F.normalize(x, dim=-1)

    def logits(self, z: Tensor) -> Tensor:
        """Logits `[B, out_dim]` of unit features or prototypes `[B, bottleneck]`."""
        return F.linear(z, F.normalize(self.last_layer, dim=-1))

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(self.project(x))
