"""The HIPT encoder: DINO checkpoints, the class token, and positions interpolated as DINO models do it."""

import argparse
from types import SimpleNamespace

import numpy as np
import torch
from torch.nn import functional as F

from workflow_scripts.config import Features
from workflow_scripts.encoders.hipt import resize_positions
from workflow_scripts.encoders.registry import build_encoder, registry_recipe


def _dino_state(side: int, seed: int = 0) -> dict[str, torch.Tensor]:
    """Random weights under the names of a DINO ViT-S/16 whose position grid is `side` wide."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator) * 0.05

    state = {
        "cls_token": random(1, 1, 384),
        "pos_embed": random(1, 1 + side * side, 384),
        "patch_embed.proj.weight": random(384, 3, 16, 16),
        "patch_embed.proj.bias": random(384),
    }
    for block in range(12):
        shapes = {
            **{f"norm{k}.{part}": (384,) for k in (1, 2) for part in ("weight", "bias")},
            **{"attn.qkv.weight": (1152, 384), "attn.qkv.bias": (1152,)},
            **{"attn.proj.weight": (384, 384), "attn.proj.bias": (384,)},
            **{"mlp.fc1.weight": (1536, 384), "mlp.fc1.bias": (1536,)},
            **{"mlp.fc2.weight": (384, 1536), "mlp.fc2.bias": (384,)},
        }
        state |= {f"blocks.{block}.{name}": random(*shape) for name, shape in shapes.items()}
    return state | {"norm.weight": 1 + random(384), "norm.bias": random(384)}


def _written_out(state: dict[str, torch.Tensor], pixels: torch.Tensor) -> torch.Tensor:
    """Class token of a pre-norm ViT with six heads, from its definition."""

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        return F.layer_norm(x, (384,), state[f"{name}.weight"], state[f"{name}.bias"], 1e-6)

    def linear(x: torch.Tensor, name: str) -> torch.Tensor:
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    x = F.conv2d(pixels, state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], stride=16)
    x = torch.cat([state["cls_token"].expand(len(x), 1, 384), x.flatten(2).transpose(1, 2)], 1) + state["pos_embed"]
    for block in range(12):
        name = f"blocks.{block}"
        q, k, v = linear(norm(x, f"{name}.norm1"), f"{name}.attn.qkv").unflatten(2, (3, 6, 64)).permute(2, 0, 3, 1, 4)
        mixed = (q @ k.transpose(-2, -1) / 8).softmax(-1) @ v
        x = x + linear(mixed.transpose(1, 2).flatten(2), f"{name}.attn.proj")
        x = x + linear(F.gelu(linear(norm(x, f"{name}.norm2"), f"{name}.mlp.fc1")), f"{name}.mlp.fc2")
    return norm(x, "norm")[:, 0]


def test_class_token_of_a_dino_checkpoint(tmp_path):
    state = _dino_state(16)
    teacher = {f"backbone.{key}": value for key, value in state.items()}
    student = {f"module.{key}": value + 1 for key, value in teacher.items()}
    file = tmp_path / "dino.pth"
    extra = {"head.mlp.0.weight": torch.zeros(3)}
    torch.save({"student": student, "teacher": teacher | extra, "args": argparse.Namespace(lr=1.0)}, file)
    encoder = build_encoder(Features(model="hipt_vits16_256", weights=str(file)), 256)
    assert encoder.dim == 384
    assert encoder.facts["recommended_mpp"] == 0.5
    torch.manual_seed(1)
    pixels = torch.randn(1, 3, 256, 256)
    with torch.inference_mode():
        torch.testing.assert_close(encoder.module(pixels), _written_out(state, pixels), rtol=1e-4, atol=1e-4)


def test_positions_of_224_px_models_grow_to_256():
    module = SimpleNamespace(pos_embed=torch.zeros(1, 257, 384))
    state = {"pos_embed": torch.randn(1, 197, 384), "norm.bias": torch.zeros(384)}
    adapted = registry_recipe("hipt_vits16_256").adapt(state, module)
    assert adapted["pos_embed"].shape == (1, 257, 384)
    assert adapted["norm.bias"] is state["norm.bias"]


def _cubic(distance: np.ndarray, a: float = -0.75) -> np.ndarray:
    """Kernel of Keys' cubic convolution."""
    d = np.abs(distance)
    near, far = (a + 2) * d**3 - (a + 3) * d**2 + 1, a * (d**3 - 5 * d**2 + 8 * d - 4)
    return np.where(d <= 1, near, np.where(d < 2, far, 0))


def test_resized_positions_are_a_cubic_convolution():
    side, own = 16, 14
    positions = torch.randn(1, 1 + own * own, 3, dtype=torch.float64)
    where = (np.arange(side) + 0.5) * own / (side + 0.1) - 0.5
    weights = np.zeros((side, own))
    for row, at in enumerate(where):
        for tap in range(int(np.floor(at)) - 1, int(np.floor(at)) + 3):
            weights[row, np.clip(tap, 0, own - 1)] += _cubic(at - tap)
    grid = positions[0, 1:].reshape(own, own, 3).numpy()
    expected = np.einsum("ia,jb,abd->ijd", weights, weights, grid).reshape(-1, 3)
    found = resize_positions(positions, side)
    assert torch.equal(found[:, 0], positions[:, 0])
    np.testing.assert_allclose(found[0, 1:].numpy(), expected, atol=1e-4)
