"""Building encoders: which weights they get, and what is refused in which words."""

import hashlib

import pytest
import torch
from safetensors.torch import save_file

from workflow_scripts.config import Features
from workflow_scripts.core.errors import UserError
from workflow_scripts.encoders.registry import build_encoder
from workflow_scripts.encoders.timm_import import timm

SMALL = "test_vit"  # timm's 0.4 million parameter ViT, 16 px patches


def _tiny(px: int, seed: int, **options) -> torch.nn.Module:
    torch.manual_seed(seed)
    return timm.create_model(SMALL, img_size=px, **options).eval()


def test_packaged_encoder_needs_no_network():
    encoder = build_encoder(Features(model="efficientnet_lite0"), 96)
    assert (encoder.dim, encoder.input_px, encoder.mean) == (1280, 96, (0.5, 0.5, 0.5))
    assert not encoder.module.training
    assert not any(parameter.requires_grad for parameter in encoder.module.parameters())
    assert encoder.facts["pretrained_on"].startswith("ImageNet")
    assert encoder.facts["licence"].startswith("Apache-2.0")


def test_settings_replace_preprocessing():
    settings = Features(model=f"{SMALL}:random", input_px=48, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    encoder = build_encoder(settings, 256)
    assert (encoder.input_px, encoder.mean, encoder.std) == (48, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert encoder.preprocessing["input_px"] == 48


def test_random_weights_are_seeded_and_said():
    before = torch.random.get_rng_state()
    first, second = (build_encoder(Features(model=f"{SMALL}:random"), 32) for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(first.module.parameters(), second.module.parameters(), strict=True))
    assert first.facts["weights"] == "random weights"
    assert "random" in first.facts["pretrained_on"]


def test_random_efficientnet_differs_from_the_packaged_one():
    trained, random = (build_encoder(Features(model=f"efficientnet_lite0{end}"), 64) for end in ("", ":random"))
    assert not torch.allclose(trained.module.conv_stem.weight, random.module.conv_stem.weight)


@pytest.mark.parametrize("wrap", ["plain", "safetensors", "nested", "lightning"])
def test_local_weights_of_a_timm_model(tmp_path, wrap):
    source = _tiny(32, seed=3, num_classes=5)  # the classifier is dropped
    state = source.state_dict()
    file = tmp_path / ("w.safetensors" if wrap == "safetensors" else "w.pth")
    if wrap == "safetensors":
        save_file(state, file)
    elif wrap == "nested":
        state = {f"module.backbone.{key}": value for key, value in state.items() if not key.startswith("head")}
        torch.save(
            {"student": {"x": torch.zeros(1)}, "teacher": state | {"module.head.mlp.0.weight": torch.ones(1)}}, file
        )
    else:
        torch.save(state if wrap == "plain" else {"state_dict": state, "epoch": 3}, file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    encoder = build_encoder(Features(model=SMALL, weights=str(file), weights_sha256=digest), 32)
    pixels = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        expected = source.forward_head(source.forward_features(pixels), pre_logits=True)
        torch.testing.assert_close(encoder.module(pixels), expected)
    assert encoder.facts["weights_sha256"] == digest
    assert encoder.facts["weights"] == file.name


def test_positions_of_another_size_are_resampled(tmp_path):
    torch.save(_tiny(64, seed=1).state_dict(), tmp_path / "w.pth")
    encoder = build_encoder(Features(model=SMALL, weights=str(tmp_path / "w.pth")), 32)
    assert encoder.module.pos_embed.shape[1] == 2 * 2 + encoder.module.num_prefix_tokens


def test_model_from_a_local_folder(tmp_path):
    source = _tiny(32, seed=5, num_classes=0)
    timm.models.save_for_hf(source, tmp_path / "model", safe_serialization=True)
    encoder = build_encoder(Features(model=f"local-dir:{tmp_path / 'model'}"), 32)
    pixels = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(encoder.module(pixels), source(pixels))


def _message(settings: Features, patch_px: int = 32) -> str:
    with pytest.raises(UserError) as caught:
        build_encoder(settings, patch_px)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_weights_of_another_model_are_refused_by_key(tmp_path):
    state = _tiny(32, seed=0, num_classes=0).state_dict()
    file = tmp_path / "w.pth"
    for change, word in (
        ({"cls_token": None}, "cls_token is missing"),
        ({"cls_token": torch.zeros(1, 1, 5)}, "cls_token is [1, 1, 5] instead of [1, 1, 64]"),
        ({"other.weight": torch.zeros(3)}, "other.weight has no place"),
    ):
        torch.save({key: value for key, value in (state | change).items() if value is not None}, file)
        message = _message(Features(model=SMALL, weights=str(file)))
        assert word in message
        assert str(file) in message
        assert SMALL in message
    torch.save(state, file)
    assert "_conv_stem" not in _message(Features(model="efficientnet_lite0", weights=str(file)))


def test_wrong_digest_and_missing_file(tmp_path):
    file = tmp_path / "w.pth"
    assert "do not exist" in _message(Features(model=SMALL, weights=str(file)))
    torch.save(_tiny(32, seed=0).state_dict(), file)
    message = _message(Features(model=SMALL, weights=str(file), weights_sha256="0" * 64))
    assert "0" * 64 in message
    assert "features.weights_sha256" in message
    assert "SHA-256" in _message(Features(model="efficientnet_lite0", weights_sha256="0" * 64))


def test_objects_and_rubbish_are_not_unpickled(tmp_path):
    file = tmp_path / "w.pth"
    torch.save({"model": torch.nn.Linear(2, 2)}, file)
    assert "safetensors" in _message(Features(model=SMALL, weights=str(file)))
    file.write_bytes(b"<html>not found</html>")
    assert str(file) in _message(Features(model=SMALL, weights=str(file)))


def test_no_network_is_said_before_it_is_tried():
    for model in ("hf-hub:owner/model", "vit_small_patch16_224", "resnet18"):
        message = _message(Features(model=model))
        assert "features.allow_network" in message
        assert model in message
    assert "features.weights" in _message(Features(model="hipt_vits16_256"), 256)


def test_unknown_names_and_sizes():
    assert "no_such_model" in _message(Features(model="no_such_model:random"))
    assert "did you mean uni or uni2_h?" in _message(Features(model="uni2"))  # said before any network is asked for
    assert "check the name" in _message(Features(model="no_such_model", allow_network=True))
    assert "multiple of 16" in _message(Features(model=f"{SMALL}:random"), 40)
    assert "multiple of 16" in _message(Features(model="hipt_vits16_256:random", input_px=250))
    assert "drop one" in _message(Features(model=f"{SMALL}:random", weights="x.pth"))
