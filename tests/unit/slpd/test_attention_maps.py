"""Attention of the class token, against the encoder's own output and plain loops."""

import math

import torch

from workflow_scripts.slpd.attention_maps import _class_row, class_attention
from workflow_scripts.slpd.vit import RegionViT


def _backbone(seed=0):
    torch.manual_seed(seed)
    backbone = RegionViT(in_dim=8, dim=12, depth=3, heads=3, mlp_ratio=2, positions=4).eval()
    for block in backbone.blocks:
        torch.nn.init.normal_(block.qkv.weight, std=0.8)  # else attention is nearly uniform
    return backbone


@torch.no_grad()
def test_the_weights_are_those_that_make_the_class_tokens_output():
    block, x = _backbone().blocks[-1], torch.randn(2, 17, 12)
    mask = torch.ones(2, 1, 1, 17, dtype=torch.bool)
    mask[0, :, :, 5:9] = False
    weights = _class_row(block, x, mask)
    values = block.qkv(block.norm1(x))[:, :, 24:].view(2, 17, 3, 4)
    mixed = torch.einsum("bht,bthw->bhw", weights, values).reshape(2, 12)
    assert torch.allclose(block.proj(mixed), block.attend(block.norm1(x), mask)[:, 0], atol=1e-5)


@torch.no_grad()
def test_maps_follow_from_the_last_block_by_plain_loops():
    backbone, tokens = _backbone(), torch.randn(2, 4, 4, 8)
    found = class_attention(backbone, tokens)
    x = torch.cat([backbone.cls_token.expand(2, -1, -1), backbone.embed_tokens(tokens).flatten(1, 2)], dim=1)
    x = x + backbone.pos_embed
    for block in backbone.blocks[:-1]:
        x = block(x, None, None)
    qkv = backbone.blocks[-1].qkv(backbone.blocks[-1].norm1(x))
    for b in range(2):
        for head in range(3):
            q, keys = qkv[b, 0, 4 * head : 4 * head + 4], qkv[b, :, 12 + 4 * head : 16 + 4 * head]
            terms = [math.exp(float(sum(q * key)) / 2) for key in keys]  # the root of 4 is 2
            wanted = torch.tensor([term / sum(terms) for term in terms[1:]]).view(4, 4)
            assert torch.allclose(found[b, head], wanted, atol=1e-5)
    assert found.shape == (2, 3, 4, 4) and (found.sum(dim=(2, 3)) < 1 + 1e-6).all()


@torch.no_grad()
def test_hidden_tokens_have_none_and_the_encoder_is_left_as_it_was():
    backbone, tokens, visible = _backbone(), torch.randn(1, 4, 4, 8), torch.ones(1, 4, 4, dtype=torch.bool)
    visible[0, 1:3] = False
    found = class_attention(backbone, tokens, visible)
    assert (found[:, :, 1:3] == 0).all() and (found[:, :, 0] > 0).all()
    other = tokens.clone()
    other[0, 1:3] = 100.0
    assert torch.allclose(class_attention(backbone, other, visible), found, atol=1e-6)
    assert not backbone.blocks[-1]._forward_pre_hooks
