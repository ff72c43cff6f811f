import hashlib
import json
import re

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from workflow_scripts import export_model
from workflow_scripts.config.base import result_settings
from workflow_scripts.config.runs import OFFICIAL
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.feature_store import feature_schema
from workflow_scripts.core.schemas import SLIDES
from workflow_scripts.core.tables import write_table
from workflow_scripts.core.tensors import to_column
from workflow_scripts.slpd.glass import without_glass
from workflow_scripts.slpd.model import RegionEncoder, save_model
from workflow_scripts.slpd.network import Network
from workflow_scripts.slpd.state import new_state, save_state

from . import plain

CPU = torch.device("cpu")
DIM = 5
ARCHITECTURE = {"in_dim": DIM, "dim": 8, "depth": 2, "heads": 2, "mlp_ratio": 2.0, "positions": 3}


def backbone(seed: int = 0):
    torch.manual_seed(seed)
    network = Network(plain.tiny_run(), DIM).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return network.backbone.requires_grad_(False)


def regions(n: int = 11) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens float16 and flags, some False."""
    generator = torch.Generator().manual_seed(11)
    tokens = torch.randn(n, 4, 4, DIM, generator=generator).half()
    valid = torch.rand(n, 4, 4, generator=generator) > 0.2
    valid[:, 0, 0] = True
    return tokens, valid


def by_hand(model, tokens: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
    """Region by region in plain loops, hidden tokens left out of the sequence, in float64."""
    p = {name: value.double() for name, value in model.state_dict().items()}
    rows = []
    for token, see in zip(tokens.double(), visible.flatten(1), strict=True):
        rows.append(plain.vit(p, token, see.nonzero()[:, 0].tolist(), heads=2, depth=2, side=3))
    return torch.stack(rows).float()


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("batch", [2, 256])
def test_loaded_model_embeds_as_the_plain_backbone(tmp_path, padded, batch):
    model = backbone()
    save_model(tmp_path / "model.safetensors", model, {"architecture": ARCHITECTURE, "seed": 3}, "# Card\n")
    tokens, valid = regions()
    encoder = RegionEncoder.load(tmp_path)
    got = encoder.embed(tokens, valid if padded else None, batch=batch)
    want = by_hand(model, tokens, valid if padded else torch.ones_like(valid))
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)
    assert not encoder.training
    assert encoder.facts["seed"] == 3
    for name, value in model.state_dict().items():
        assert torch.equal(value, encoder.backbone.state_dict()[name]), name


def test_files_of_a_model(tmp_path):
    save_model(tmp_path / "m/model.safetensors", backbone(), {"architecture": ARCHITECTURE}, "# Card\n")
    assert sorted(p.name for p in (tmp_path / "m").iterdir()) == ["README.md", "config.json", "model.safetensors"]
    digest = hashlib.sha256((tmp_path / "m/model.safetensors").read_bytes()).hexdigest()
    facts = json.loads((tmp_path / "m/config.json").read_text())
    assert facts == {"architecture": ARCHITECTURE, "model_sha256": digest}
    assert (tmp_path / "m/README.md").read_text() == "# Card\n"


def test_no_regions_give_no_vectors(tmp_path):
    save_model(tmp_path / "model.safetensors", backbone(), {"architecture": ARCHITECTURE}, "")
    assert RegionEncoder.load(tmp_path).embed(torch.zeros(0, 4, 4, DIM)).shape == (0, 8)


def test_model_that_hides_glass_wants_tissue_and_uses_it(tmp_path):
    model, settings = backbone(), {"mask_glass": True}
    save_model(tmp_path / "model.safetensors", model, {"architecture": ARCHITECTURE, "settings": settings}, "")
    encoder = RegionEncoder.load(tmp_path)
    tokens, valid = regions()
    tissue = torch.rand(valid.shape, generator=torch.Generator().manual_seed(2)).round() * 0.4
    tissue[2] = 0  # a region without tissue is seen whole
    with pytest.raises(UserError, match="mask_glass"):
        encoder.embed(tokens, valid)
    visible = valid & (tissue > 0)
    visible[2] = valid[2]
    torch.testing.assert_close(
        encoder.embed(tokens, valid, tissue), by_hand(model, tokens, visible), rtol=1e-4, atol=1e-5
    )
    # hiding twice is hiding once
    assert torch.equal(without_glass(visible, tissue), visible)
    arrays = (part.numpy() for part in (tokens, valid, tissue))
    assert torch.equal(encoder.embed(*arrays), encoder.embed(tokens, valid, tissue))
    # a model that sees glass takes no notice of it
    save_model(tmp_path / "model.safetensors", model, {"architecture": ARCHITECTURE}, "")
    seen = RegionEncoder.load(tmp_path)
    assert torch.equal(seen.embed(tokens, valid, tissue), seen.embed(tokens, valid))


def rewrite(folder, **architecture) -> None:
    facts = {"architecture": {k: v for k, v in (ARCHITECTURE | architecture).items() if v is not None}}
    (folder / "config.json").write_text(json.dumps(facts))


def lose_a_tensor(folder) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors["norm.bias"]
    save_file({**tensors, "other": torch.zeros(2)}, folder / "model.safetensors")


def replace_by_another(folder) -> None:
    tensors = load_file(folder / "model.safetensors")
    save_file({name: value + 1 for name, value in tensors.items()}, folder / "model.safetensors")


def cut(path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda f: (f / "config.json").unlink(), r"config\.json is missing"),
        (lambda f: (f / "model.safetensors").unlink(), r"model\.safetensors is missing"),
        (lambda f: cut(f / "model.safetensors"), "damaged or cut short"),
        (lambda f: (f / "model.safetensors").write_text("hello"), "damaged or cut short"),
        (lambda f: (f / "config.json").write_text("{"), "no JSON file"),
        (lambda f: (f / "config.json").write_text("[1]"), "does not describe a region encoder"),
        (lambda f: rewrite(f, depth=3), r"\(blocks\.2\.norm1\.weight is missing\)"),
        (lambda f: rewrite(f, in_dim=9), r"phi\.weight is \[8, 5\] instead of \[8, 9\]"),
        (lambda f: rewrite(f, heads=None), "builds no encoder"),
        (replace_by_another, "is not the model that the config.json beside it describes"),
        (lose_a_tensor, r"norm\.bias is missing"),
    ],
)
def test_files_that_are_missing_damaged_or_apart_are_told_in_one_sentence(tmp_path, spoil, says):
    save_model(tmp_path / "model.safetensors", backbone(), {"architecture": ARCHITECTURE}, "")
    spoil(tmp_path)
    with pytest.raises(UserError, match=says) as caught:
        RegionEncoder.load(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", [(2, 4, 4, 9), (2, 16, DIM)])
def test_tokens_of_another_shape_are_refused(tmp_path, shape):
    save_model(tmp_path / "model.safetensors", backbone(), {"architecture": ARCHITECTURE}, "")
    with pytest.raises(UserError, match=rf"takes \[regions, rows, columns, {DIM}\]"):
        RegionEncoder.load(tmp_path).embed(torch.zeros(shape))


def export(settings, **arguments) -> None:
    """Run the command in the current folder, on two small slides with features."""
    tokens, valid = regions(5)
    encoder = {"name": "enc", "pretrained_on": "ImageNet-1k", "licence": "MIT"}
    facts = {"dim": DIM, "grid": 4, "mpp": 0.5, "patch_px": 96, "encoder": encoder}
    schema = feature_schema(4, DIM)
    for name, rows in {"a": slice(0, 2), "b": slice(2, 5)}.items():
        arrays = {"features": tokens[rows].numpy(), "read_ok": valid[rows].numpy()}
        n = len(arrays["features"])
        arrays |= {"tissue": np.ones((n, 4, 4), np.float32), "colour": np.zeros((n, 4, 4, 6), np.float32)}
        columns = {"slide_id": [name] * n, "region_id": [f"{name}_{i}" for i in range(n)]}
        columns |= {key: to_column(value, schema.field(key)) for key, value in arrays.items()}
        write_table(f"features/enc/slides/{name}.parquet", columns, schema, facts)
    rows = {name: [None] * 3 for name in SLIDES.names}
    rows |= {"slide_id": ["a", "b", "c"], "status": ["ok", "ok", "excluded"], "n_regions": [2, 3, 9]}
    columns = {field.name: [v if v is not None or field.nullable else "" for v in rows[field.name]] for field in SLIDES}
    write_table("slides.parquet", columns, SLIDES)
    state = new_state(settings, DIM, CPU)
    state.teacher.backbone.load_state_dict(backbone(7).state_dict())
    state.epoch = 12
    save_state("state.safetensors", state)
    options = {"features": "features/enc", "slides": "slides.parquet", "state": "state.safetensors", "run": "slpd"}
    options |= {"cohort": "demo", "code": "0123abcd", "output": "results/demo/pretrain/slpd/model/model.safetensors"}
    options |= {"treatment": json.dumps({"regions": {"mpp": 0.5}})} | arguments
    argv = ["--config", settings.model_dump_json()]
    for name, value in options.items():
        argv += [f"--{name}", value]
    export_model.main(argv)


@pytest.mark.parametrize("mask_glass", [False, True])
def test_the_call_in_the_card_does_what_it_says(tmp_path, monkeypatch, mask_glass):
    monkeypatch.chdir(tmp_path)
    export(plain.tiny_run(mask_glass=mask_glass))
    card = (tmp_path / "results/demo/pretrain/slpd/model/README.md").read_text()
    call = re.search(r"```python\n(.*?)```", card, re.DOTALL).group(1)
    tokens, valid = regions()
    tissue = (torch.rand(valid.shape, generator=torch.Generator().manual_seed(3)) > 0.4).float()
    names = {"tokens": tokens, "valid": valid} | ({"tissue": tissue} if mask_glass else {})
    exec(call, names)
    visible = valid & (tissue > 0) if mask_glass else valid
    visible = torch.where(visible.any(dim=(1, 2), keepdim=True), visible, valid)
    torch.testing.assert_close(names["vectors"], by_hand(backbone(7), tokens, visible), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("init", [None, "weights/vit4k_xs_dino.pth"])
def test_the_card_states_what_the_model_has_seen(tmp_path, monkeypatch, init):
    monkeypatch.chdir(tmp_path)
    settings = plain.tiny_run(init=init)
    export(settings)
    folder = tmp_path / "results/demo/pretrain/slpd/model"
    card = (folder / "README.md").read_text()
    facts = json.loads((folder / "config.json").read_text())
    for part in ("`demo`: 2 slides, 5 regions, 12 epochs", "enc, pretrained on ImageNet-1k", "digest 0123abcd", "MIT"):
        assert part in card
    assert (init or "random weights") in card
    assert "tokens without tissue | seen by the model, hidden where regions are clustered" in card
    assert facts["code"] == "0123abcd"
    assert facts["epochs"] == 12
    assert facts["cohort"] == {"name": "demo", "slides": 2, "regions": 5, "stages": {"regions": {"mpp": 0.5}}}
    assert facts["settings"] == result_settings(settings)
    assert facts["pretrained_on"].startswith("ImageNet-1k; then ")
    assert ("then the weights in weights/vit4k_xs_dino.pth; then SLPD" in facts["pretrained_on"]) == bool(init)
    assert "{" not in card


@pytest.mark.parametrize(
    ("settings", "method", "whose"),
    [
        ({"seed": 7}, "SLPD (DINO with slide-level prototypes)", "corrected"),
        (
            {"prototypes": {"level": "global", "global_count": 5}},
            "DINO with 5 prototypes of the whole cohort",
            "corrected",
        ),
        ({"loss": {"intra_weight": 0, "inter_weight": 0}}, "self-distillation (DINO)", "corrected"),
        (OFFICIAL, "SLPD (DINO with slide-level prototypes)", "the published code's"),
        *(
            ({"prototypes": own}, "SLPD (DINO with slide-level prototypes)", "neither preset's")
            for own in ({"mask_glass": False}, {"kmeans": "spherical"})
        ),
        ({"loss": {"soft_temp": 0.1}}, "SLPD (DINO with slide-level prototypes)", "neither preset's"),
    ],
)
def test_the_card_tells_method_arithmetic_and_seed(tmp_path, monkeypatch, settings, method, whose):
    monkeypatch.chdir(tmp_path)
    run = plain.tiny_run(**settings)
    export(run)
    folder = tmp_path / "results/demo/pretrain/slpd/model"
    card = (folder / "README.md").read_text()
    assert f"by {method}" in card and f"| arithmetic | {whose}" in card and f"| seed | {run.seed}; one training" in card
    assert method in json.loads((folder / "config.json").read_text())["pretrained_on"]
    assert ("SLPD (" in card) == (method[:4] == "SLPD")


def test_heads_of_another_training_go_and_those_of_the_same_stay(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    export(plain.tiny_run())
    folder = tmp_path / "results/demo/pretrain/slpd/model"
    own = json.loads((folder / "config.json").read_text())["model_sha256"]
    (folder / "heads").mkdir()
    for task, digest in {"own": own, "old": "0" * 64, "older": None}.items():
        (folder / f"heads/{task}.json").write_text(json.dumps({"model_sha256": digest}))
        (folder / f"heads/{task}.safetensors").write_bytes(b"")
    (folder / "heads/alone.safetensors").write_bytes(b"")
    export(plain.tiny_run())
    assert sorted(path.name for path in (folder / "heads").iterdir()) == ["own.json", "own.safetensors"]
