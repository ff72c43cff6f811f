"""ResNet-50 with ImageNet weights: whole, and up to its third stage, as CLAM uses it."""

import torch

from workflow_scripts.encoders.pooling import LastMapMean
from workflow_scripts.encoders.recipe import State, register
from workflow_scripts.encoders.timm_import import timm

_CUT_OFF = ("layer4.", "fc.")


def _create(input_px: int) -> torch.nn.Module:
    return timm.create_model("resnet50", pretrained=False, num_classes=0)


def _create_up_to_layer3(input_px: int) -> torch.nn.Module:
    return LastMapMean(timm.create_model("resnet50", pretrained=False, features_only=True, out_indices=[3]))


def _without_last_stage(state: State, module: torch.nn.Module) -> State:
    return {key: value for key, value in state.items() if not key.startswith(_CUT_OFF)}


register("resnet50_imagenet", _create)
register("resnet50_layer3", _create_up_to_layer3, adapt=_without_last_stage)
