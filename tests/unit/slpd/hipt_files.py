"""Checkpoints as HIPT's training writes them, and its region encoder in plain arithmetic."""

import argparse
import math

import torch


def hipt_shapes(dim: int, depth: int, in_dim: int, side: int, head: tuple[int, int, int] | None) -> dict:
    """Names and shapes of HIPT's ViT_4096-256 and DINO head, from the description of the published code."""
    shapes = {"backbone.cls_token": (1, 1, dim), "backbone.pos_embed": (1, side * side + 1, dim)}
    layers = {"backbone.phi.0": (dim, in_dim)}
    for n in range(depth):
        block = f"backbone.blocks.{n}"
        layers |= {f"{block}.attn.qkv": (3 * dim, dim), f"{block}.attn.proj": (dim, dim)}
        layers |= {f"{block}.mlp.fc1": (4 * dim, dim), f"{block}.mlp.fc2": (dim, 4 * dim)}
        for norm in ("norm1", "norm2"):
            shapes |= {f"{block}.{norm}.weight": (dim,), f"{block}.{norm}.bias": (dim,)}
    shapes |= {"backbone.norm.weight": (dim,), "backbone.norm.bias": (dim,)}
    if head:
        hidden, bottleneck, out = head
        layers |= {"head.mlp.0": (hidden, dim), "head.mlp.2": (hidden, hidden), "head.mlp.4": (bottleneck, hidden)}
        shapes |= {"head.last_layer.weight_g": (out, 1), "head.last_layer.weight_v": (out, bottleneck)}
    for name, shape in layers.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    return shapes


def hipt_weights(seed: int, shapes: dict, prefix: str = "") -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    state = {prefix + name: 0.1 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    return {name: torch.ones_like(v) if name.endswith("weight_g") else v for name, v in state.items()}


def save_hipt(path, shapes: dict, **extra) -> tuple[dict, dict]:
    """A file as HIPT's training writes it; the student is wrapped for several processes, the teacher is not."""
    student, teacher = hipt_weights(1, shapes, "module."), hipt_weights(2, shapes)
    args = argparse.Namespace(arch="vit4k_xs", lr=5e-4, epochs=100, data_path="x")
    optimizer = {"state": {0: {"step": 3, "exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 1e-4, "params": [0]}]}
    whole = {"student": student, "teacher": teacher, "optimizer": optimizer, "epoch": 100, "args": args}
    torch.save(whole | {"dino_loss": {"center": torch.zeros(1, 4)}, "fp16_scaler": {"scale": 1.0}} | extra, path)
    return {name.removeprefix("module."): v for name, v in student.items()}, teacher


def hipt_forward(p: dict, tokens: torch.Tensor, heads: int, depth: int) -> torch.Tensor:
    """CLS feature of one region `[14, 14, D]` by HIPT's names, in float64."""
    p = {name.removeprefix("backbone."): value.double() for name, value in p.items()}

    def gelu(x):
        return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))

    def norm(name, x):
        x = x - x.mean(-1, keepdim=True)
        return x / torch.sqrt((x**2).mean(-1, keepdim=True) + 1e-6) * p[f"{name}.weight"] + p[f"{name}.bias"]

    def dense(name, x):
        return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]

    x = gelu(dense("phi.0", tokens.double().flatten(0, 1)))
    x = torch.cat([p["cls_token"][0], x]) + p["pos_embed"][0]
    dim = x.shape[1]
    for n in range(depth):
        qkv = dense(f"blocks.{n}.attn.qkv", norm(f"blocks.{n}.norm1", x))
        out = []
        for h in range(heads):
            q, k, v = (qkv[:, i * dim + h * dim // heads : i * dim + (h + 1) * dim // heads] for i in range(3))
            out.append((q @ k.T / math.sqrt(dim // heads)).softmax(-1) @ v)
        x = x + dense(f"blocks.{n}.attn.proj", torch.cat(out, 1))
        x = x + dense(f"blocks.{n}.mlp.fc2", gelu(dense(f"blocks.{n}.mlp.fc1", norm(f"blocks.{n}.norm2", x))))
    return norm("norm", x)[0]


def hipt_bottleneck(p: dict, feature: torch.Tensor) -> torch.Tensor:
    x = feature.double()
    for layer in ("head.mlp.0", "head.mlp.2", "head.mlp.4"):
        x = x @ p[f"{layer}.weight"].double().T + p[f"{layer}.bias"].double()
        x = x if layer.endswith("4") else x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))
    return x / x.norm()
