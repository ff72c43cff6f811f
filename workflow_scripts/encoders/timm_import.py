"""The one place that imports timm.

timm imports torchvision, and torchvision's common wheel is a CUDA build: beside a CPU torch its operators do not load
and its import ends in `operator torchvision::nms does not exist`. No encoder uses these operators, so it is enough
that their schemas exist. A torchvision that loads by itself is left alone, for it would define them a second time.
"""

import sys
from typing import Any

import torch

_schemas: Any = None  # the definitions last as long as this object


def _define_missing_operators() -> None:
    global _schemas
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]  # half imported
    _schemas = torch.library.Library("torchvision", "FRAGMENT")
    for operator in ("nms", "qnms"):
        _schemas.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


try:
    import torchvision  # noqa: F401
except RuntimeError:
    if torch.version.cuda is not None:
        raise
    _define_missing_operators()

import timm  # noqa: E402

__all__ = ["timm"]
