"""Where the region encoder looks: the attention of its class token, which becomes the embedding, in the last block."""

import pyarrow as pa
import torch
from torch import Tensor

from workflow_scripts.core.tensors import tensor_field
from workflow_scripts.slpd.vit import Block, RegionViT, layer_norm, linear


def attention_schema(heads: int, grid: int) -> pa.Schema:
    """Columns of attention.parquet, a row a region."""
    ids = [pa.field(name, pa.string(), nullable=False) for name in ("slide_id", "region_id")]
    return pa.schema([*ids, tensor_field("attention", (heads, grid, grid), "float32")])


def class_attention(backbone: RegionViT, tokens: Tensor, visible: Tensor | None = None) -> Tensor:
    """Attention of the class token to each patch in the last block, float32 `[B, heads, g, g]`.

    Values of a head add up to 1 less what the class token gives itself; hidden tokens have 0.

    Args:
        backbone: the encoder, on the device of the tokens.
        tokens: float32 `[B, g, g, D]` patch features.
        visible: bool `[B, g, g]`, False where a token is hidden; None where none is.
    """
    block = backbone.blocks[-1]
    inputs: list[tuple[Tensor, Tensor | None, Tensor | None]] = []
    handle = block.register_forward_pre_hook(lambda _, given: inputs.append(given))
    try:
        backbone(tokens, visible)
    finally:
        handle.remove()
    x, mask, _ = inputs[0]
    assert isinstance(block, Block)
    return _class_row(block, x, mask)[:, :, 1:].unflatten(2, tokens.shape[1:3]).float()


def _class_row(block: Block, x: Tensor, mask: Tensor | None) -> Tensor:
    """Weights `[B, heads, t]` that the first of t tokens `[B, t, dim]` gives to all."""
    b, t, d = x.shape
    qkv = linear(block.qkv, layer_norm(block.norm1, x)).view(b, t, 3, block.heads, d // block.heads)
    query, key = qkv[:, 0, 0], qkv[:, :, 1]
    scores = torch.einsum("bhw,bthw->bht", query, key) * (d // block.heads) ** -0.5
    if mask is not None:
        scores = scores.masked_fill(~mask[:, :, 0], float("-inf"))
    return scores.softmax(dim=-1)
