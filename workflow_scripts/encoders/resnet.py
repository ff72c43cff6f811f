"""ResNet-50 up to its third stage, with ImageNet weights, as CLAM uses it."""

import torch

from workflow_scripts.config.encoders import ENCODERS
from workflow_scripts.encoders.pooling import LastMapMean
from workflow_scripts.encoders.recipe import Recipe, State
from workflow_scripts.encoders.timm_import import timm

_CUT_OFF = ("layer4.", "fc.")


def _create(input_px: int) -> torch.nn.Module:
    return LastMapMean(timm.create_model("resnet50", pretrained=False, features_only=True, out_indices=[3]))


def _without_last_stage(state: State, module: torch.nn.Module) -> State:
    return {key: value for key, value in state.items() if not key.startswith(_CUT_OFF)}


def recipe(name: str) -> Recipe:
    """Recipe of `resnet50_layer3`."""
    return Recipe(create=_create, facts=ENCODERS[name], adapt=_without_last_stage)
