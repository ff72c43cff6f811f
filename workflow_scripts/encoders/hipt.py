"""The ViT-S/16 that HIPT trained with DINO on 256 px patches; its weights come from a local file."""

from typing import cast

import torch
from torch.nn.functional import interpolate

from workflow_scripts.config.encoders import ENCODERS
from workflow_scripts.encoders.recipe import Recipe, State
from workflow_scripts.encoders.timm_import import timm


def resize_positions(positions: torch.Tensor, side: int) -> torch.Tensor:
    """Position embedding `[1, 1 + s*s, D]` on another grid, `[1, 1 + side*side, D]`, the class token's unchanged.

    DINO models interpolate while they run, bicubically by the factor (side + 0.1) / s. The published features of
    such models contain that 0.1, so it stays.
    """
    own = round((positions.shape[1] - 1) ** 0.5)
    if own == side:
        return positions
    grid = positions[:, 1:].reshape(1, own, own, -1).permute(0, 3, 1, 2)
    factor = (side + 0.1) / own
    grid = interpolate(grid.float(), scale_factor=(factor, factor), mode="bicubic")
    return torch.cat([positions[:, :1], grid.permute(0, 2, 3, 1).flatten(1, 2).to(positions)], dim=1)


def _adapt(state: State, module: torch.nn.Module) -> State:
    positions = state.get("pos_embed")
    if positions is None or positions.ndim != 3:
        return state
    side = round((cast(torch.Tensor, module.pos_embed).shape[1] - 1) ** 0.5)
    return {**state, "pos_embed": resize_positions(positions, side)}


def _create(input_px: int) -> torch.nn.Module:
    return timm.create_model("vit_small_patch16_224", pretrained=False, img_size=input_px, num_classes=0)


def recipe(name: str) -> Recipe:
    """Recipe of `hipt_vits16_256`."""
    return Recipe(create=_create, facts=ENCODERS[name], adapt=_adapt)
