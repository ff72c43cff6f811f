"""Batches through an encoder against single patches, and preprocessing against Pillow."""

import numpy as np
import pytest
import torch
from PIL import Image

from workflow_scripts.config import Features
from workflow_scripts.core.errors import UserError
from workflow_scripts.encoders import device
from workflow_scripts.encoders.device import CPU_BATCH, choose_batch_size, compiled, out_of_memory_told, to_device
from workflow_scripts.encoders.encode import encode_batch, encode_groups, exact_arithmetic, prepare, white_token
from workflow_scripts.encoders.registry import Encoder, build_encoder

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return to_device(build_encoder(Features(model="efficientnet_lite0", precision="float32"), 48), CPU)


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


def _smooth_patches(count: int, px: int) -> np.ndarray:
    """Patches with structure, as tissue has and noise has not."""
    coarse = np.random.default_rng(1).integers(90, 256, (count, 6, 6, 3), dtype=np.uint8)
    return np.stack([np.asarray(Image.fromarray(one).resize((px, px), Image.Resampling.BICUBIC)) for one in coarse])


def test_bfloat16_stays_close():
    patches, features, px = _smooth_patches(16, 64), {}, 64
    for precision in ("bfloat16", "float32"):
        settings = Features(model="vit_tiny_patch16_224:random", precision=precision)
        encoder = to_device(build_encoder(settings, px), CPU)
        assert encoder.preprocessing["precision"] == precision
        features[precision] = encode_batch(patches, encoder)
    half, full = features["bfloat16"], features["float32"]
    assert not np.array_equal(half, full)
    cosine = (half * full).sum(axis=1) / np.linalg.norm(half, axis=1) / np.linalg.norm(full, axis=1)
    assert cosine.mean() > 0.999


@pytest.mark.parametrize(
    ("hardware", "model", "precision"),
    [
        (True, "test_vit:random", "bfloat16"),
        (False, "test_vit:random", "float32"),
        (True, "efficientnet_lite0", "float32"),  # its running sums would be bfloat16
        (True, "resnetv2_50x1_bit:random", "float32"),  # as these, without batch norm
    ],
)
def test_auto_takes_bfloat16_where_there_is_some_and_sums_stay_in_float32(monkeypatch, hardware, model, precision):
    monkeypatch.setattr(device, "multiplies_bfloat16", lambda kind: hardware and kind == "cpu")
    encoder = to_device(build_encoder(Features(model=model, precision="auto"), 96), CPU)
    assert encoder.precision == encoder.preprocessing["precision"] == precision


def test_convolutions_keep_their_library(encoder):
    with exact_arithmetic():
        assert torch.backends.cudnn.enabled and torch.backends.cudnn.deterministic
        assert not torch.backends.cudnn.allow_tf32


def test_a_full_gpu_is_told_in_one_sentence():
    with pytest.raises(UserError, match=r"features\.batch_size"), out_of_memory_told():
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")


def test_stored_bfloat16_weights_are_autocasts():
    """Storing the weights of products as bfloat16 gives the bits of converting them in every batch."""
    patches = _patches(3, 32)
    settings = Features(model="test_vit:random", precision="bfloat16")
    stored = to_device(build_encoder(settings, 32), CPU)
    plain = build_encoder(settings, 32)
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        expected = plain.module(prepare(torch.from_numpy(patches), plain)).float().numpy()
    np.testing.assert_array_equal(encode_batch(patches, stored), expected)


@pytest.mark.slow
def test_compiled_encoder_gives_the_same_features():
    settings = Features(model="test_vit:random", precision="float32")
    plain = to_device(build_encoder(settings, 32), CPU)
    quick = compiled(plain, 4, 32)
    patches = _patches(10, 32)  # the last batch has two
    first, second = (np.concatenate(list(encode_groups([patches], one, 4))) for one in (plain, quick))
    assert second.shape == first.shape
    np.testing.assert_allclose(second.astype(np.float32), first, atol=2e-3, rtol=2e-3)


def test_what_cannot_be_compiled_is_told_in_one_sentence(monkeypatch):
    import torch._inductor.config as inductor

    plain = to_device(build_encoder(Features(model="test_vit:random", precision="float32"), 48), CPU)
    monkeypatch.setattr(inductor.cpp, "cxx", ("no-such-compiler",))
    torch._dynamo.reset()
    with pytest.raises(UserError, match=r"cannot be compiled here .*features\.compile: false"):
        compiled(plain, 3, 48)


def test_batch_size_on_a_cpu_is_fixed(encoder):
    assert choose_batch_size(encoder, 48) == CPU_BATCH


def test_white_token_is_a_white_patch(encoder):
    white = np.full((1, 48, 48, 3), 255, np.uint8)
    np.testing.assert_allclose(white_token(encoder, 48), _one_by_one(white, encoder)[0], atol=2e-3, rtol=2e-3)


def test_numbers_beyond_float16_are_refused():
    encoder = build_encoder(Features(model="test_vit:random", std=(1e-30, 1.0, 1.0)), 32)
    with pytest.raises(UserError, match=r"features\.mean"):
        list(encode_groups([_patches(2, 32)], encoder, 2))
