"""Vision transformers written out from their definitions, over a plain dict of weights, to compare modules with."""

import torch
from torch.nn import functional as F

State = dict[str, torch.Tensor]


def vit_shapes(
    dim: int,
    depth: int,
    token_px: int,
    positions: int,
    hidden: tuple[int, int],
    layer_scale: bool = True,
    registers: int = 0,
) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a ViT's checkpoint; `hidden`: width after the first and before the second linear layer."""
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, dim),
        "pos_embed": (1, positions, dim),
        "patch_embed.proj.weight": (dim, 3, token_px, token_px),
        "patch_embed.proj.bias": (dim,),
        "norm.weight": (dim,),
        "norm.bias": (dim,),
    }
    if registers:
        shapes["reg_token"] = (1, registers, dim)
    for block in range(depth):
        inner = {
            **{f"norm{k}.{part}": (dim,) for k in (1, 2) for part in ("weight", "bias")},
            **{"attn.qkv.weight": (3 * dim, dim), "attn.qkv.bias": (3 * dim,)},
            **{"attn.proj.weight": (dim, dim), "attn.proj.bias": (dim,)},
            **{"mlp.fc1.weight": (hidden[0], dim), "mlp.fc1.bias": (hidden[0],)},
            **{"mlp.fc2.weight": (dim, hidden[1]), "mlp.fc2.bias": (dim,)},
            **({"ls1.gamma": (dim,), "ls2.gamma": (dim,)} if layer_scale else {}),
        }
        shapes |= {f"blocks.{block}.{name}": shape for name, shape in inner.items()}
    return shapes


def random_state(shapes: dict[str, tuple[int, ...]], seed: int = 0) -> State:
    """Weights of these names and shapes; vectors near 1, so that a lost scale or norm is seen."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(shape, generator=generator) * 0.05 + (0.7 if "norm" in name or "ls" in name else 0)
        for name, shape in shapes.items()
    }


def _linear(x: torch.Tensor, state: State, name: str) -> torch.Tensor:
    return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]


def _norm(x: torch.Tensor, state: State, name: str, eps: float) -> torch.Tensor:
    x = x - x.mean(-1, keepdim=True)
    return x / (x.square().mean(-1, keepdim=True) + eps).sqrt() * state[f"{name}.weight"] + state[f"{name}.bias"]


def _attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, heads: int) -> torch.Tensor:
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    weights = (q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5).softmax(-1)
    return (weights @ v).transpose(1, 2).flatten(2)


def vit_tokens(state: State, pixels: torch.Tensor, heads: int, swiglu: bool, whole_positions: bool) -> torch.Tensor:
    """All tokens after the last norm, under timm's names: class, registers, patches.

    Args:
        state: tensors of the model by timm's names.
        pixels: float32 `[n, 3, h, w]`, normalised.
        heads: attention heads.
        swiglu: the second half of the inner width is gated by the SiLU of the first; otherwise GELU.
        whole_positions: class token and registers have positions too; otherwise patches alone.
    """
    proj, count = state["patch_embed.proj.weight"], len(pixels)
    x = F.conv2d(pixels, proj, state["patch_embed.proj.bias"], stride=proj.shape[-1]).flatten(2).transpose(1, 2)
    prefix = [state["cls_token"], *([state["reg_token"]] if "reg_token" in state else [])]
    prefix = [token.expand(count, -1, -1) for token in prefix]
    x = (
        torch.cat([*prefix, x], 1) + state["pos_embed"]
        if whole_positions
        else torch.cat([*prefix, x + state["pos_embed"]], 1)
    )
    depth = len({name.split(".")[1] for name in state if name.startswith("blocks.")})
    for block in range(depth):
        name = f"blocks.{block}"
        q, k, v = _linear(_norm(x, state, f"{name}.norm1", 1e-6), state, f"{name}.attn.qkv").chunk(3, -1)
        step = _linear(_attention(q, k, v, heads), state, f"{name}.attn.proj")
        x = x + step * state.get(f"{name}.ls1.gamma", torch.ones(()))
        inner = _linear(_norm(x, state, f"{name}.norm2", 1e-6), state, f"{name}.mlp.fc1")
        if swiglu:
            gate, value = inner.chunk(2, -1)
            inner = gate / (1 + (-gate).exp()) * value
        else:
            inner = inner * (1 + torch.erf(inner / 2**0.5)) / 2
        x = x + _linear(inner, state, f"{name}.mlp.fc2") * state.get(f"{name}.ls2.gamma", torch.ones(()))
    return _norm(x, state, "norm", 1e-6)


def other_library_shapes(
    dim: int, depth: int, token_px: int, positions: int, dinov2: bool
) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a transformers ViT (`dinov2`: Dinov2) checkpoint."""
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.cls_token": (1, 1, dim),
        "embeddings.position_embeddings": (1, positions, dim),
        "embeddings.patch_embeddings.projection.weight": (dim, 3, token_px, token_px),
        "embeddings.patch_embeddings.projection.bias": (dim,),
        "layernorm.weight": (dim,),
        "layernorm.bias": (dim,),
        **({"embeddings.mask_token": (1, dim)} if dinov2 else {}),
    }
    layers = {
        **{f"attention.attention.{part}": (dim, dim) for part in ("query", "key", "value")},
        "attention.output.dense": (dim, dim),
        "mlp.fc1" if dinov2 else "intermediate.dense": (4 * dim, dim),
        "mlp.fc2" if dinov2 else "output.dense": (dim, 4 * dim),
    }
    norms = ("norm1", "norm2") if dinov2 else ("layernorm_before", "layernorm_after")
    for block in range(depth):
        name = f"encoder.layer.{block}"
        for layer, shape in layers.items():
            shapes |= {f"{name}.{layer}.weight": shape, f"{name}.{layer}.bias": shape[:1]}
        for norm in norms:
            shapes |= {f"{name}.{norm}.weight": (dim,), f"{name}.{norm}.bias": (dim,)}
        if dinov2:
            shapes |= {f"{name}.layer_scale{k}.lambda1": (dim,) for k in (1, 2)}
    return shapes


def other_library_class_token(state: State, pixels: torch.Tensor, heads: int, dinov2: bool) -> torch.Tensor:
    """Class token after the last norm, under that library's names; query, key and value are layers of their own."""
    eps = 1e-6 if dinov2 else 1e-12
    before, after = ("norm1", "norm2") if dinov2 else ("layernorm_before", "layernorm_after")
    first, second = ("mlp.fc1", "mlp.fc2") if dinov2 else ("intermediate.dense", "output.dense")
    proj = state["embeddings.patch_embeddings.projection.weight"]
    bias = state["embeddings.patch_embeddings.projection.bias"]
    x = F.conv2d(pixels, proj, bias, stride=proj.shape[-1]).flatten(2).transpose(1, 2)
    x = (
        torch.cat([state["embeddings.cls_token"].expand(len(x), -1, -1), x], 1)
        + state["embeddings.position_embeddings"]
    )
    depth = len({name.split(".")[2] for name in state if name.startswith("encoder.layer.")})
    one = torch.ones(())
    for block in range(depth):
        name = f"encoder.layer.{block}"
        y = _norm(x, state, f"{name}.{before}", eps)
        q, k, v = (_linear(y, state, f"{name}.attention.attention.{part}") for part in ("query", "key", "value"))
        step = _linear(_attention(q, k, v, heads), state, f"{name}.attention.output.dense")
        x = x + step * state.get(f"{name}.layer_scale1.lambda1", one)
        y = F.gelu(_linear(_norm(x, state, f"{name}.{after}", eps), state, f"{name}.{first}"))
        x = x + _linear(y, state, f"{name}.{second}") * state.get(f"{name}.layer_scale2.lambda1", one)
    return _norm(x, state, "layernorm", eps)[:, 0]
