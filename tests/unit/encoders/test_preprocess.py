"""Patches of another width against torchvision's and timm's transforms on the same bytes."""

import numpy as np
import pytest
import torch
from PIL import Image

from workflow_scripts.config.encoders import ENCODERS
from workflow_scripts.encoders.encode import prepare
from workflow_scripts.encoders.preprocess import fit_pixels
from workflow_scripts.encoders.registry import Encoder
from workflow_scripts.encoders.timm_import import timm

MODES = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def _bytes(px: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (px, px, 3), dtype=np.uint8)


def _encoder(name: str) -> Encoder:
    facts = ENCODERS[name]
    mean, std = facts.normalisation
    px = facts.input_px
    return Encoder(torch.nn.Identity(), 1, px, mean, std, "float32", {}, facts.fit, facts.interpolation)


def _published(name: str, patch: np.ndarray) -> torch.Tensor:
    """As the model's own page prepares a patch: bytes resized or cropped, then scaled and normalised."""
    from torchvision.transforms import InterpolationMode, v2

    facts = ENCODERS[name]
    mode = {"bilinear": InterpolationMode.BILINEAR, "bicubic": InterpolationMode.BICUBIC}[facts.interpolation]
    steps = [v2.ToImage()]
    if facts.fit == "crop":  # Prov-GigaPath: 256 px, and the central 224 of them
        steps += [v2.Resize(256, interpolation=mode, antialias=True), v2.CenterCrop(facts.input_px)]
    else:
        steps += [v2.Resize(facts.input_px, interpolation=mode, antialias=True)]
    mean, std = facts.normalisation
    steps += [v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, std)]
    return v2.Compose(steps)(Image.fromarray(patch))


# What Prov-GigaPath publishes enlarges patches of other widths first.
CASES = [(name, px) for name, facts in ENCODERS.items() if facts.input_px for px in (224, 256)]


@pytest.mark.parametrize(("name", "px"), [case for case in CASES if case != ("prov_gigapath", 224)])
def test_preprocessing_is_the_published_one(name, px):
    facts = ENCODERS[name]
    patch = _bytes(px, seed=px)
    found = prepare(torch.from_numpy(patch[None]), _encoder(name))[0]
    # a published transform rounds to bytes once after each direction
    limit = 1.5 / 255 / min(facts.normalisation[1])
    assert (found - _published(name, patch)).abs().max() <= limit
    assert found.shape == (3, facts.input_px, facts.input_px)


def test_preprocessing_is_timms_for_its_own_models():
    from timm.data import create_transform, resolve_data_config

    config = timm.models.get_pretrained_cfg("vit_small_patch16_224.augreg_in21k_ft_in1k").to_dict()
    transform = create_transform(**{**resolve_data_config({}, pretrained_cfg=config), "crop_pct": 1.0})
    patch = _bytes(256)
    found = prepare(torch.from_numpy(patch[None]), _encoder("vits16_imagenet"))[0]
    assert (found - transform(Image.fromarray(patch))).abs().max() <= 1.5 / 255 / 0.5


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("px", "to"), [(256, 224), (96, 224), (300, 64)])
def test_resizing_is_pillows_in_floating_point(mode, px, to):
    patch = _bytes(px, seed=1)
    pixels = torch.from_numpy(patch).permute(2, 0, 1)[None].float() / 255
    found = fit_pixels(pixels, to, "resize", mode)[0]
    for channel in range(3):
        image = Image.fromarray(patch[..., channel].astype(np.float32))  # mode F: no rounding to bytes
        wide = np.clip(image.resize((to, px), MODES[mode]), 0, 255)
        expected = np.clip(Image.fromarray(wide).resize((to, to), MODES[mode]), 0, 255) / 255
        np.testing.assert_allclose(found[channel].numpy(), expected, atol=1e-4)


@pytest.mark.parametrize(("px", "to"), [(256, 224), (257, 224), (225, 224), (224, 224)])
def test_crop_is_torchvisions_centre(px, to):
    from torchvision.transforms import v2

    pixels = torch.rand(1, 3, px, px)
    assert torch.equal(fit_pixels(pixels, to, "crop", "bicubic"), v2.CenterCrop(to)(pixels))
    with pytest.raises(ValueError, match="the central 300 px"):
        fit_pixels(pixels, 300, "crop", "bicubic")


def test_overshoot_is_cut_off():
    step = torch.zeros(1, 3, 64, 64)
    step[..., 32:] = 1
    found = fit_pixels(step, 48, "resize", "bicubic")
    assert (found.min(), found.max()) == (0, 1)
