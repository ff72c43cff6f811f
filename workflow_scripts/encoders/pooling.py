"""Modules around a model that make one vector a patch of its output."""

from typing import TYPE_CHECKING

import torch

from workflow_scripts.config.encoder_facts import Pooling

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer


class Pooled(torch.nn.Module):
    """A module around a model, its `body`, whose names the checkpoint has."""

    def __init__(self, body: torch.nn.Module) -> None:
        super().__init__()
        self.body = body


class ClassAndPatchMean(Pooled):
    """Class token and mean of a ViT's patch tokens side by side, `[n, 2 D]`; registers do not count.

    The feature of a tile in the model cards of Virchow and Virchow2.
    """

    body: "VisionTransformer"

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        tokens = self.body.forward_features(pixels)
        return torch.cat([tokens[:, 0], tokens[:, self.body.num_prefix_tokens :].mean(1)], dim=1)


class LastMapMean(Pooled):
    """Mean over the last of the maps that a model gives, `[n, D]`."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.body(pixels)[-1].mean((2, 3))


# Poolings that need a module around a model of timm; timm's models do the others themselves.
POOLED: dict[Pooling, type[Pooled]] = {"class token and mean of the patch tokens": ClassAndPatchMean}
