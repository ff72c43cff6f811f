"""Another encoder than the model's is refused by what lies on this machine, before it is built."""

import hashlib
import json
from pathlib import Path

import pytest

from workflow_scripts.config import Features
from workflow_scripts.core.errors import UserError
from workflow_scripts.encoders.as_trained import require_same_encoder
from workflow_scripts.encoders.efficientnet import recipe

MINE = b"weights"
DIGEST = hashlib.sha256(MINE).hexdigest()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model's folder that names no weights yet."""
    (tmp_path / "model").mkdir()
    return tmp_path / "model"


def made_by(model: Path, **encoder: str | None) -> Path:
    facts = {"architecture": {}, "features": {"grid": 4, "encoder": encoder}}
    (model / "config.json").write_text(json.dumps(facts))
    return model


def refusal(features: Features, model: Path) -> str:
    with pytest.raises(UserError) as caught:
        require_same_encoder(features, model)
    return str(caught.value)


@pytest.mark.parametrize("name", ["hipt_vits16_256", "vit_small_patch16_224"])
def test_a_file_of_ones_own_must_be_the_models(model: Path, name: str) -> None:
    file = model.parent / "w.pth"
    file.write_bytes(MINE)
    features = Features(model=name, weights=str(file))
    require_same_encoder(features, made_by(model, weights_sha256=DIGEST))
    require_same_encoder(features, made_by(model, weights_sha256=None))  # the model does not know
    told = refusal(features, made_by(model, weights_sha256="0" * 64))
    assert f"the encoder {name} has here weights with the SHA-256 {DIGEST} ({file}) instead of {'0' * 64}" in told
    assert f"the model in {model}" in told and "--weights" in told and "\n" not in told


def test_weights_of_a_package_are_known_without_opening_them(model: Path) -> None:
    features = Features(model="efficientnet_lite0")
    packaged = recipe("efficientnet_lite0").packaged_weights
    assert packaged is not None
    digest = hashlib.sha256(packaged().read_bytes()).hexdigest()
    require_same_encoder(features, made_by(model, weights_sha256=digest))
    told = refusal(features, made_by(model, weights_sha256=DIGEST))
    assert f"{digest} (those of its package) instead of {DIGEST}" in told


@pytest.mark.parametrize("name", ["phikon", "hf-hub:somebody/a-model"])
def test_weights_in_the_cache_of_the_hub_are_looked_at_where_they_are_there(model: Path, name: str) -> None:
    features = Features(model=name, hub_folder=str(model.parent / "hub"))
    require_same_encoder(features, made_by(model, weights_sha256="0" * 64))  # still to be fetched
    place = model.parent / "hub" / f"models--{'owkin--phikon' if name == 'phikon' else 'somebody--a-model'}"
    (place / "snapshots/a").mkdir(parents=True)
    (place / "refs").mkdir()
    (place / "refs/main").write_text("a")
    (place / "snapshots/a/config.json").touch()
    (place / "snapshots/a/model.safetensors").write_bytes(MINE)
    require_same_encoder(features, made_by(model, weights_sha256=DIGEST))
    assert f"{DIGEST} (" in refusal(features, made_by(model, weights_sha256="0" * 64))


def test_a_plug_in_must_be_written_as_it_was(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    features = Features(model="my_encoder:make")
    require_same_encoder(features, made_by(model, plug_in_sha256="0" * 64))  # the jobs may have it
    monkeypatch.syspath_prepend(model.parent)
    (model.parent / "my_encoder.py").write_text("def make(): ...\n")
    told = refusal(features, made_by(model, plug_in_sha256="0" * 64))
    assert "has here a module with the SHA-256" in told and "bring the module along" in told
    digest = told.split("SHA-256 ")[1].split()[0]
    require_same_encoder(features, made_by(model, plug_in_sha256=digest))


def test_random_weights_and_models_that_bring_their_own_are_not_looked_at(model: Path) -> None:
    for name in ("efficientnet_lite0:random", "vit_small_patch16_224", "phikon:random"):
        require_same_encoder(Features(model=name), made_by(model, weights_sha256="0" * 64))
