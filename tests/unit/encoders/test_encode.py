"""Batches through an encoder against single patches, and preprocessing against Pillow."""

import numpy as np
import pytest
import torch
from PIL import Image

from workflow_scripts.config import Features
from workflow_scripts.core.errors import UserError
from workflow_scripts.encoders.encode import encode_batch, encode_groups, prepare, to_device, white_token
from workflow_scripts.encoders.registry import Encoder, build_encoder


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return to_device(build_encoder(Features(model="efficientnet_lite0"), 48), torch.device("cpu"))


def _patches(count: int, px: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, px, px, 3), dtype=np.uint8)


def _one_by_one(patches: np.ndarray, encoder: Encoder) -> np.ndarray:
    """Features of patches taken singly, normalised by numpy in plain channel order."""
    features = []
    for patch in patches:
        pixels = (patch / 255.0 - np.array(encoder.mean)) / np.array(encoder.std)
        tensor = torch.tensor(pixels.transpose(2, 0, 1)[None], dtype=torch.float32).contiguous()
        with torch.inference_mode():
            features.append(encoder.module(tensor).numpy()[0])
    return np.stack(features)


def test_batch_equals_single_patches(encoder):
    patches = _patches(7, 48)
    np.testing.assert_allclose(encode_batch(patches, encoder), _one_by_one(patches, encoder), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_groups_of_any_size_keep_their_order(encoder, batch_size):
    patches = _patches(13, 48)
    sizes = [3, 0, 1, 6, 0, 0, 3, 0]
    groups = np.split(patches, np.cumsum(sizes)[:-1])
    found = list(encode_groups(iter(groups), encoder, batch_size))
    assert [len(group) for group in found] == sizes
    assert all(group.dtype == np.float16 for group in found)
    np.testing.assert_allclose(np.concatenate(found), _one_by_one(patches, encoder), atol=2e-3, rtol=2e-3)


def test_no_groups_and_only_empty_groups(encoder):
    assert list(encode_groups([], encoder, 4)) == []
    empty = np.empty((0, 48, 48, 3), np.uint8)
    assert [group.shape for group in encode_groups([empty, empty], encoder, 4)] == [(0, 1280)] * 2


def test_same_patches_give_the_same_bits(encoder):
    patches = _patches(10, 48)
    first, second = (np.concatenate(list(encode_groups([patches], encoder, 4))) for _ in range(2))
    assert first.tobytes() == second.tobytes()


@pytest.mark.parametrize("px", [37, 128])
def test_resizing_is_pillows_antialiased_bilinear(encoder, px):
    patches = _patches(2, px)
    found = prepare(torch.from_numpy(patches), encoder).permute(0, 2, 3, 1).numpy() * 0.5 + 0.5
    for patch, pixels in zip(patches, found, strict=True):
        expected = np.asarray(Image.fromarray(patch).resize((48, 48), Image.Resampling.BILINEAR)) / 255
        np.testing.assert_allclose(pixels, expected, atol=1.1 / 255)  # Pillow rounds after each axis


def test_bfloat16_stays_close():
    half = build_encoder(Features(model="efficientnet_lite0", precision="bfloat16"), 48)
    full = build_encoder(Features(model="efficientnet_lite0"), 48)
    patches = _patches(4, 48)
    first, second = encode_batch(patches, half), encode_batch(patches, full)
    assert not np.array_equal(first, second)
    assert np.corrcoef(first.ravel(), second.ravel())[0, 1] > 0.99


def test_white_token_is_a_white_patch(encoder):
    white = np.full((1, 48, 48, 3), 255, np.uint8)
    np.testing.assert_allclose(white_token(encoder, 48), _one_by_one(white, encoder)[0], atol=2e-3, rtol=2e-3)


def test_numbers_beyond_float16_are_refused():
    encoder = build_encoder(Features(model="test_vit:random", std=(1e-30, 1.0, 1.0)), 32)
    with pytest.raises(UserError, match=r"features\.mean"):
        list(encode_groups([_patches(2, 32)], encoder, 2))
