"""Patches of one width made into the width that an encoder takes."""

from typing import Literal

import torch
from torch.nn.functional import interpolate


def fit_pixels(
    pixels: torch.Tensor, input_px: int, fit: Literal["resize", "crop"], interpolation: Literal["bilinear", "bicubic"]
) -> torch.Tensor:
    """Patches `[n, 3, p, p]` in 0..1 as `[n, 3, input_px, input_px]`, resized as a whole or cropped to their centre.

    Resizing is antialiased, and what a bicubic kernel overshoots is cut off in each direction, as it is where pixels
    are bytes: published transforms resize those.

    Raises:
        ValueError: the centre is to be cropped from patches smaller than it.
    """
    size = pixels.shape[-1]
    if size == input_px:
        return pixels
    if fit == "crop":
        if size < input_px:
            raise ValueError(f"the central {input_px} px of {size} px patches")
        first = round((size - input_px) / 2)  # torchvision's CenterCrop rounds so
        return pixels[..., first : first + input_px, first : first + input_px]
    for shape in ((size, input_px), (input_px, input_px)):  # width, then height, as where pixels are bytes
        pixels = interpolate(pixels, size=shape, mode=interpolation, antialias=True, align_corners=False)
        pixels = pixels.clamp(0, 1) if interpolation == "bicubic" else pixels
    return pixels
