"""Phikon's checkpoints under the other library's names, against that library's arithmetic written out.

Names, shapes and results are those of transformers 4.57.1, which is not installed here: a `ViTModel` and a
`Dinov2Model` of the published sizes, filled at random, gave the same class token as these modules, bit by bit.
"""

import pytest
import torch
from safetensors.torch import save_file

from tests.unit.encoders.written_out import other_library_class_token, other_library_shapes, random_state
from workflow_scripts.config import Features
from workflow_scripts.core.errors import UserError
from workflow_scripts.encoders.phikon import timm_names
from workflow_scripts.encoders.registry import build_encoder, registry_recipe
from workflow_scripts.encoders.timm_import import timm


def test_phikon_from_its_published_names(tmp_path):
    state = random_state(other_library_shapes(768, 12, 16, 197, dinov2=False))
    unused = {"pooler.dense.weight": torch.zeros(768, 768), "pooler.dense.bias": torch.zeros(768)}
    save_file(state | unused, tmp_path / "model.safetensors")
    encoder = build_encoder(Features(model="phikon", weights=str(tmp_path)), 224)
    pixels = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = other_library_class_token(state, pixels, 12, dinov2=False)
        torch.testing.assert_close(encoder.module(pixels), expected, rtol=1e-3, atol=1e-3)
    assert (expected[0] - expected[1]).abs().max() > 1e-2


def test_phikon_v2_names_and_shapes_are_all_used():
    with torch.device("meta"):
        module = registry_recipe("phikon_v2").create(224)
        state = {k: torch.empty(s) for k, s in other_library_shapes(1024, 24, 16, 197, dinov2=True).items()}
        named = timm_names(state)
    own = {key: value.shape for key, value in module.state_dict().items()}
    assert {key: value.shape for key, value in named.items()} == own
    # the file has the training's mask token beside them; 1.21 GB in float32, as the hub lists it
    assert sum(value.numel() for value in state.values()) * 4 / 1e9 == pytest.approx(1.21, abs=0.005)


@pytest.mark.parametrize("prefix", ["", "dinov2.", "vit."])
@pytest.mark.parametrize("dinov2", [False, True])
def test_small_models_compute_the_same(dinov2, prefix):
    state = random_state(other_library_shapes(48, 3, 8, 1 + 4**2, dinov2), seed=5)
    options = {"patch_size": 8, "embed_dim": 48, "depth": 3, "num_heads": 6, "img_size": 32, "num_classes": 0}
    module = timm.create_model("vit_base_patch16_224", init_values=1.0 if dinov2 else None, **options).eval()
    module.load_state_dict(timm_names({f"{prefix}{key}": value for key, value in state.items()}))
    pixels = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = other_library_class_token(state, pixels, 6, dinov2)
        torch.testing.assert_close(module(pixels), expected, rtol=1e-4, atol=1e-4)


def test_other_names_are_left_and_refused_by_name(tmp_path):
    state = {"cls_token": torch.zeros(1, 1, 4)}
    assert timm_names(state) == state
    broken = random_state(other_library_shapes(768, 12, 16, 197, dinov2=False))
    del broken["encoder.layer.3.attention.attention.key.bias"]
    broken["encoder.layer.3.adapter.weight"] = torch.zeros(3)
    save_file(broken, tmp_path / "w.safetensors")
    with pytest.raises(UserError, match=r"blocks\.3\.attn\.qkv\.bias is missing"):
        build_encoder(Features(model="phikon", weights=str(tmp_path / "w.safetensors")), 224)
