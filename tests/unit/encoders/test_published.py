"""The registry's modules against what is published: parameter counts, names, shapes, widths, and the arithmetic.

The large ones are built without memory; their arithmetic is checked on the same options made small.
"""

from functools import cache
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.unit.encoders.written_out import random_state, vit_shapes, vit_tokens
from workflow_scripts.config import Features
from workflow_scripts.config.encoders import ENCODERS
from workflow_scripts.core.errors import UserError
from workflow_scripts.encoders.pooling import Pooled
from workflow_scripts.encoders.registry import build_encoder, registry_recipe
from workflow_scripts.encoders.timm_import import timm
from workflow_scripts.encoders.weights import load_weights

# Parameters as published, exactly where they are, else in millions as the model cards round them.
COUNTS = {
    "hipt_vits16_256": 22e6,
    "uni": 303_350_784,
    "uni2_h": 681e6,
    "virchow": 631_229_184,
    "virchow2": 632e6,
    "h_optimus_0": 1.13e9,
    "h_optimus_1": 1.13e9,
    "h0_mini": 86e6,
    "mstar": 303.4e6,
    "gpfm": 303e6,
    "kaiko_vitl14": 303e6,
    "lunit_vits8": 21.7e6,
    "prov_gigapath": 1_134_953_984,
    "phikon": 86e6,
    "phikon_v2": 303e6,
    "resnet50_imagenet": 25_557_032 - 2049 * 1000,  # torchvision's count, its classifier taken off
    "vits16_imagenet": 22_050_664 - 385 * 1000,  # as above, DINO's and DeiT's table
}
# Checkpoints as their configurations give them: dim, depth, token px, positions, inner widths, layer scale, registers.
SHAPES = {
    "uni": vit_shapes(1024, 24, 16, 1 + 14**2, (4096, 4096)),
    "uni2_h": vit_shapes(1536, 24, 14, 16**2, (8192, 4096), registers=8),
    "virchow": vit_shapes(1280, 32, 14, 1 + 16**2, (6832, 3416)),
    "virchow2": vit_shapes(1280, 32, 14, 5 + 16**2, (6832, 3416), registers=4),
    "h_optimus_0": vit_shapes(1536, 40, 14, 16**2, (8192, 4096), registers=4),
    "h_optimus_1": vit_shapes(1536, 40, 14, 16**2, (8192, 4096), registers=4),
    "h0_mini": vit_shapes(768, 12, 14, 16**2, (4096, 2048), registers=4),
    "mstar": vit_shapes(1024, 24, 16, 1 + 14**2, (4096, 4096)),
    "gpfm": vit_shapes(1024, 24, 14, 1 + 16**2, (4096, 4096)),
    "kaiko_vitl14": vit_shapes(1024, 24, 14, 16**2, (4096, 4096), registers=4),
    "lunit_vits8": vit_shapes(384, 12, 8, 1 + 28**2, (1536, 1536), layer_scale=False),
    "prov_gigapath": vit_shapes(1536, 40, 16, 1 + 14**2, (8192, 4096)),
    "hipt_vits16_256": vit_shapes(384, 12, 16, 1 + 16**2, (1536, 1536), layer_scale=False),
    "vits16_imagenet": vit_shapes(384, 12, 16, 1 + 14**2, (1536, 1536), layer_scale=False),
}


@cache
def _empty(name: str) -> torch.nn.Module:
    with torch.device("meta"):
        return registry_recipe(name).create(ENCODERS[name].input_px or 224).eval()


@pytest.mark.parametrize("name", ENCODERS)
def test_every_entry_says_by_what_it_is_built(name):
    facts = ENCODERS[name]
    assert (facts.timm is None) != (facts.module is None)
    assert facts.timm or not facts.options
    assert registry_recipe(name).facts is facts


@pytest.mark.parametrize("name", ENCODERS)
def test_width_and_parameters(name):
    facts, module = ENCODERS[name], _empty(name)
    px = facts.input_px or 224
    with torch.inference_mode():
        assert module(torch.zeros(2, 3, px, px, device="meta")).shape == (2, facts.dim)
    count = sum(parameter.numel() for parameter in module.parameters())
    assert count == facts.parameters
    published = COUNTS.get(name, count)
    assert count == published if published % 1000 else count == pytest.approx(published, rel=0.02)


@pytest.mark.parametrize("name", SHAPES)
def test_checkpoint_of_the_published_names_and_shapes_fits(name):
    module = _empty(name)
    body = module.body if isinstance(module, Pooled) else module
    assert {key: tuple(value.shape) for key, value in body.state_dict().items()} == SHAPES[name]
    state = {key: torch.empty(shape, device="meta") for key, shape in SHAPES[name].items()}
    load_weights(body, registry_recipe(name).adapt(state, body), Path("w.pth"), name)
    with pytest.raises(UserError, match="has no place"):
        load_weights(body, state | {"blocks.40.norm1.weight": torch.empty(3)}, Path("w.pth"), name)


def _small(name: str, depth: int = 2, dim: int = 192, heads: int = 4, px: int = 56) -> torch.nn.Module:
    """The registry's own options of a model, made small: the module that `create` would build, with other widths."""
    made = {}

    def record(architecture, **options):
        made.update(architecture=architecture, options=options)
        small = {"depth": depth, "embed_dim": dim, "num_heads": heads, "img_size": px}
        return original(architecture, **{**options, **small})

    original = timm.create_model
    timm.create_model = record
    try:
        return registry_recipe(name).create(224).eval()
    finally:
        timm.create_model = original


@pytest.mark.parametrize(
    ("name", "swiglu", "whole"),
    [
        ("uni", False, True),
        ("uni2_h", True, False),
        ("virchow", True, True),
        ("virchow2", True, True),
        ("h_optimus_0", True, False),
        ("h_optimus_1", True, False),
        ("h0_mini", True, False),
        ("mstar", False, True),
        ("gpfm", False, True),
        ("kaiko_vitl14", False, False),
        ("lunit_vits8", False, True),
        ("prov_gigapath", True, True),
        ("vits16_imagenet", False, True),
    ],
)
def test_arithmetic_of_the_options(name, swiglu, whole):
    facts = ENCODERS[name]
    px = 4 * facts.token_px
    module = _small(name, px=px)
    body = module.body if isinstance(module, Pooled) else module
    shapes = {key: tuple(value.shape) for key, value in body.state_dict().items()}
    state = random_state(shapes, seed=3)
    assert ("reg_token" in state) == (facts.registers > 0)
    load_weights(body, state, Path("w.pth"), name)
    pixels = torch.randn(2, 3, px, px, generator=torch.Generator().manual_seed(1))
    tokens = vit_tokens(state, pixels, 4, swiglu, whole)
    expected = tokens[:, 0]
    if facts.pooling != "class token":
        expected = torch.cat([expected, tokens[:, 1 + facts.registers :].mean(1)], 1)
    with torch.inference_mode():
        found = module(pixels)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert expected.std(0).max() > 1e-3  # two pictures give two features


def _resnet() -> torch.nn.Module:
    with torch.device("meta"):
        module = timm.create_model("resnet50").eval()
    shapes = {key: tuple(value.shape) for key, value in module.state_dict().items()}
    state = random_state(shapes)
    for key, value in state.items():
        if len(shapes[key]) == 1 and key.endswith(("weight", "running_var")):  # of norms; signals neither die nor grow
            state[key] = 1 + value
        elif key.endswith("tracked"):
            state[key] = torch.zeros((), dtype=torch.long)
    module.load_state_dict(state, assign=True)
    return module


def _resnet_names() -> set[str]:
    def layer(name: str, norm: str) -> set[str]:
        parts = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
        return {f"{name}.weight", *(f"{norm}.{part}" for part in parts)}

    names = layer("conv1", "bn1") | {"fc.weight", "fc.bias"}
    for stage, blocks in enumerate((3, 4, 6, 3), 1):
        for block in range(blocks):
            start = f"layer{stage}.{block}"
            for k in (1, 2, 3):
                names |= layer(f"{start}.conv{k}", f"{start}.bn{k}")
        names |= layer(f"layer{stage}.0.downsample.0", f"layer{stage}.0.downsample.1")
    return names


def test_truncated_resnet_is_the_third_stage_of_the_whole(tmp_path):
    whole = _resnet()
    assert set(whole.state_dict()) == _resnet_names()
    file = tmp_path / "model.safetensors"
    save_file(whole.state_dict(), file)
    pixels = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        x = whole.maxpool(whole.act1(whole.bn1(whole.conv1(pixels))))
        x = whole.layer3(whole.layer2(whole.layer1(x)))
        for name, expected in (
            ("resnet50_layer3", x.flatten(2).sum(2) / x[0, 0].numel()),
            ("resnet50_imagenet", whole.layer4(x).flatten(2).mean(2)),
        ):
            encoder = build_encoder(Features(model=name, weights=str(file), input_px=64), 256)
            assert encoder.dim == ENCODERS[name].dim
            assert expected.std() > 0.01
            torch.testing.assert_close(encoder.module(pixels), expected)


def test_hub_name_is_the_entry_of_the_registry(tmp_path):
    with torch.device("meta"):
        state = {key: value for key, value in registry_recipe("phikon").create(224).state_dict().items()}
    file = tmp_path / "model.safetensors"
    save_file({key: torch.zeros(value.shape) for key, value in state.items()}, file)
    encoder = build_encoder(Features(model="hf-hub:owkin/Phikon@main", weights=str(tmp_path)), 256)
    assert encoder.facts["licence"].startswith("Owkin")
    assert encoder.facts["architecture"] == "ViT-B/16"
    assert encoder.input_px == 224


def test_half_precision_checkpoints_become_float32_and_nothing_stays_empty(tmp_path):
    state = {key: value.half() for key, value in random_state(SHAPES["vits16_imagenet"]).items()}
    torch.save(state, tmp_path / "pytorch_model.bin")
    encoder = build_encoder(Features(model="vits16_imagenet", weights=str(tmp_path)), 256)
    tensors = list(encoder.module.state_dict().values())
    assert {tensor.dtype for tensor in tensors} == {torch.float32}
    assert not any(tensor.is_meta for tensor in tensors)
    assert encoder.facts["weights"] == "pytorch_model.bin"


def test_counters_that_old_checkpoints_lack(tmp_path):
    whole = _resnet()
    torch.save({k: v for k, v in whole.state_dict().items() if "tracked" not in k}, tmp_path / "w.pth")
    encoder = build_encoder(Features(model="resnet50_imagenet", weights=str(tmp_path / "w.pth"), input_px=64), 64)
    pixels = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        expected = whole.forward_head(whole.forward_features(pixels), pre_logits=True)
        torch.testing.assert_close(encoder.module(pixels), expected)


def test_positions_of_models_with_registers_are_resampled():
    module = _small("uni2_h", px=56)
    state = module.state_dict()
    given = {**state, "pos_embed": torch.randn(1, 8 * 8, 192)}
    assert registry_recipe("uni2_h").adapt(given, module)["pos_embed"].shape == state["pos_embed"].shape
    odd = {**state, "pos_embed": torch.randn(1, 65, 192)}  # of another model: refused by its shape later
    assert registry_recipe("uni2_h").adapt(odd, module)["pos_embed"].shape == (1, 65, 192)


def test_positions_of_a_checkpoint_of_another_size_are_resampled():
    """Kaiko's ViT-L/14 is published for 518 px and used at 224, as TRIDENT does."""
    module = _small("kaiko_vitl14", px=56)
    state = module.state_dict()
    given = {**state, "pos_embed": torch.randn(1, 37**2, 192)}
    assert registry_recipe("kaiko_vitl14").adapt(given, module)["pos_embed"].shape == state["pos_embed"].shape


def test_the_documentation_says_of_other_known_encoders_why_they_are_not_there():
    page = (Path(__file__).resolve().parents[3] / "docs" / "encoders.md").read_text(encoding="utf-8")
    for name in ("CONCH", "CONCH v1.5", "MUSK", "Midnight-12k", "Hibou"):
        assert sum(line.startswith(f"| {name} |") for line in page.splitlines()) == 1, name


def test_the_documentation_names_every_encoder():
    page = (Path(__file__).resolve().parents[3] / "docs" / "encoders.md").read_text(encoding="utf-8")
    for name, facts in ENCODERS.items():
        row = next(line for line in page.splitlines() if line.startswith(f"| `{name}` |"))
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        size = f"{facts.parameters / 1e6:,.1f} M"
        assert cells[2:4] == [size, str(facts.dim)], row
        assert cells[4].startswith("as read" if facts.input_px is None else str(facts.input_px))
        assert cells[5] == (" ".join(f"{mpp:g}" for mpp in facts.mpps) or "any")
        assert facts.licence.split(" (")[0] in row
