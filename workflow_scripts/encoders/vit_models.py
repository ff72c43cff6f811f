"""The ViTs whose checkpoints have timm's names: of pathology, and of ImageNet."""

from collections.abc import Callable
from typing import Any

import torch

from workflow_scripts.encoders.any_timm import adapt_positions
from workflow_scripts.encoders.pooling import ClassAndPatchMean
from workflow_scripts.encoders.recipe import register
from workflow_scripts.encoders.timm_import import timm

_SWIGLU = {"mlp_layer": timm.layers.SwiGLUPacked, "act_layer": torch.nn.SiLU}
# The inner width of a SwiGLU layer counts both of its halves.
_VIRCHOW = {"init_values": 1e-5, "mlp_ratio": 5.3375, "global_pool": "", **_SWIGLU}
_UNI2 = {
    **{"patch_size": 14, "depth": 24, "num_heads": 24, "embed_dim": 1536, "mlp_ratio": 16 / 3},
    **{"init_values": 1e-5, "no_embed_class": True, "reg_tokens": 8, **_SWIGLU},
}


def _creator(name: str, **options: Any) -> Callable[[int], torch.nn.Module]:
    def create(input_px: int) -> torch.nn.Module:
        return timm.create_model(name, pretrained=False, num_classes=0, img_size=input_px, **options)

    return create


def _virchow(**options: Any) -> Callable[[int], torch.nn.Module]:
    create = _creator("vit_huge_patch14_224", **_VIRCHOW, **options)
    return lambda input_px: ClassAndPatchMean(create(input_px))


register("uni", _creator("vit_large_patch16_224", init_values=1e-5), adapt=adapt_positions)
register("uni2_h", _creator("vit_giant_patch14_224", **_UNI2), adapt=adapt_positions)
register("virchow", _virchow(), adapt=adapt_positions)
register("virchow2", _virchow(reg_tokens=4), adapt=adapt_positions)
for _name in ("h_optimus_0", "h_optimus_1"):
    register(_name, _creator("vit_giant_patch14_reg4_dinov2", init_values=1e-5), adapt=adapt_positions)
register("prov_gigapath", _creator("vit_giant_patch14_dinov2", patch_size=16), adapt=adapt_positions)
register("vits16_imagenet", _creator("vit_small_patch16_224"), adapt=adapt_positions)
