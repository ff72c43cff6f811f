"""Phikon and Phikon-v2, published under the names of another library's ViTs; here those names become timm's."""

import re
from functools import partial
from typing import Any

import torch

from workflow_scripts.config.encoders import ENCODERS
from workflow_scripts.encoders.recipe import Recipe, State
from workflow_scripts.encoders.timm_import import timm
from workflow_scripts.encoders.timm_models import adapt_positions

_OUTER = {
    "embeddings.cls_token": "cls_token",
    "embeddings.position_embeddings": "pos_embed",
    "embeddings.patch_embeddings.projection": "patch_embed.proj",
    "layernorm": "norm",
}
_IN_BLOCK = {
    "attention.output.dense": "attn.proj",
    # ViT
    "layernorm_before": "norm1",
    "layernorm_after": "norm2",
    "intermediate.dense": "mlp.fc1",
    "output.dense": "mlp.fc2",
    # Dinov2
    "norm1": "norm1",
    "norm2": "norm2",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
    "layer_scale1.lambda1": "ls1.gamma",
    "layer_scale2.lambda1": "ls2.gamma",
}
_BLOCK = re.compile(r"encoder\.layer\.(\d+)\.(.+)")
_ATTENTION = re.compile(r"attention\.attention\.(query|key|value)\.(weight|bias)")
# The training's mask token and a head that no feature passes through.
_UNUSED = ("embeddings.mask_token", "pooler.", "classifier.")
_PREFIXES = ("vit.", "dinov2.")


def _renamed(key: str, names: dict[str, str]) -> str | None:
    if key in names:
        return names[key]
    stem, _, end = key.rpartition(".")
    return f"{names[stem]}.{end}" if stem in names else None


def timm_names(state: State) -> State:
    """A transformers ViT or Dinov2 checkpoint under timm's names; query, key and value become one layer.

    A checkpoint with other names is given back as it is; an entry of no known name keeps its name.
    """
    state = {next((k.removeprefix(p) for p in _PREFIXES if k.startswith(p)), k): v for k, v in state.items()}
    if "embeddings.cls_token" not in state:
        return state
    named: State = {}
    attention: dict[str, State] = {}
    for key, value in state.items():
        if key.startswith(_UNUSED):
            continue
        block = _BLOCK.fullmatch(key)
        if block and (part := _ATTENTION.fullmatch(block[2])):
            attention.setdefault(f"blocks.{block[1]}.attn.qkv.{part[2]}", {})[part[1]] = value
            continue
        inner = _renamed(block[2], _IN_BLOCK) if block else _renamed(key, _OUTER)
        named[f"blocks.{block[1]}.{inner}" if block and inner else inner or key] = value
    for key, parts in attention.items():
        if len(parts) == 3:
            named[key] = torch.cat([parts["query"], parts["key"], parts["value"]])
    return named


def _adapt(state: State, module: torch.nn.Module) -> State:
    return adapt_positions(timm_names(state), module)


# Architecture, eps of the norms (the defaults of the other library's ViT and Dinov2), and first values of layer scale.
_MADE: dict[str, tuple[str, float, float | None]] = {
    "phikon": ("vit_base_patch16_224", 1e-12, None),
    "phikon_v2": ("vit_large_patch16_224", 1e-6, 1.0),
}


def recipe(name: str) -> Recipe:
    """Recipe of `phikon` or `phikon_v2`."""
    architecture, eps, init_values = _MADE[name]

    def create(input_px: int) -> torch.nn.Module:
        norm = partial(torch.nn.LayerNorm, eps=eps)
        options: dict[str, Any] = {"norm_layer": norm, "init_values": init_values, "img_size": input_px}
        return timm.create_model(architecture, pretrained=False, num_classes=0, **options)

    return Recipe(create=create, facts=ENCODERS[name], adapt=_adapt)
