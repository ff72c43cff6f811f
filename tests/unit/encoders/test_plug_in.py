"""A user's own encoder: what it must return, which words refuse it, and that its source decides what is computed."""

import json
import sys

import numpy as np
import pytest
import torch

from workflow_scripts.config import Features, Regions
from workflow_scripts.config.fit import misfit
from workflow_scripts.core.errors import UserError
from workflow_scripts.encoders.device import to_device
from workflow_scripts.encoders.encode import white_token
from workflow_scripts.encoders.plan import common_digest
from workflow_scripts.encoders.plug_in import plug_in_digest
from workflow_scripts.encoders.registry import build_encoder

SOURCE = """
import torch

class Mean(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor({scale}))

    def forward(self, pixels):
        return self.scale * pixels.mean((2, 3))

def make_encoder():
    return Mean(), {facts}

def broken():
    raise OSError("no such file")

def not_a_pair():
    return Mean()

number = 3
"""
FACTS = {"input_px": 32, "mean": [0.1, 0.2, 0.3], "std": [1.0, 1.0, 1.0], "pretrained_on": "my slides", "mpp": 1.0}


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes a module into the working directory; each test's modules have names of their own."""
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)

    def write(name: str, scale: float = 2.0, facts: dict = FACTS) -> str:
        (tmp_path / f"{name}.py").write_text(SOURCE.format(scale=scale, facts=json.dumps(facts)))
        return name

    yield write
    for name in set(sys.modules) - before:
        if name.startswith("plug_in_"):
            del sys.modules[name]


def test_module_and_facts_are_taken_over(write):
    encoder = build_encoder(Features(model=f"{write('plug_in_a')}:make_encoder"), 64)
    assert (encoder.dim, encoder.input_px, encoder.mean) == (3, 32, (0.1, 0.2, 0.3))
    assert encoder.facts["pretrained_on"] == "my slides"
    assert encoder.facts["recommended_mpp"] == 1.0
    assert len(encoder.facts["plug_in_sha256"]) == 64
    torch.testing.assert_close(encoder.module(torch.ones(1, 3, 32, 32)), torch.full((1, 3), 2.0))
    assert not encoder.module.training
    assert not any(parameter.requires_grad for parameter in encoder.module.parameters())


def test_a_digest_that_cannot_be_checked_is_refused(write):
    model = f"{write('plug_in_digest')}:make_encoder"
    with pytest.raises(UserError, match="weights_sha256 cannot be checked"):
        build_encoder(Features(model=model, weights_sha256="0" * 64), 32)


def test_a_module_without_parameters_encodes(write, tmp_path):
    name = write("plug_in_bare")
    file = tmp_path / f"{name}.py"
    bare = "self.scale = 2.0"
    file.write_text(file.read_text().replace("self.scale = torch.nn.Parameter(torch.tensor(2.0))", bare))
    encoder = to_device(build_encoder(Features(model=f"{name}:make_encoder"), 32), torch.device("cpu"))
    white = [2 * (1 - mean) for mean in FACTS["mean"]]
    np.testing.assert_allclose(white_token(encoder, 32), white, rtol=1e-3)


def test_weights_of_the_configuration_are_loaded_into_it(write, tmp_path):
    torch.save({"scale": torch.tensor(5.0)}, tmp_path / "w.pth")
    settings = Features(model=f"{write('plug_in_w')}:make_encoder", weights=str(tmp_path / "w.pth"))
    encoder = build_encoder(settings, 64)
    torch.testing.assert_close(encoder.module(torch.ones(1, 3, 32, 32)), torch.full((1, 3), 5.0))
    assert encoder.facts["weights"] == "w.pth"


def test_its_scale_is_checked_once_it_is_known(write):
    settings = Features(model=f"{write('plug_in_s')}:make_encoder")
    encoder = build_encoder(settings, 32)
    assert misfit(settings, Regions(mpp=1.0, patch_px=32), encoder.published) == ""
    assert "was trained at 1 um/px" in misfit(settings, Regions(mpp=0.5, patch_px=32), encoder.published)


def test_found_on_the_python_path_and_in_packages(write, tmp_path, monkeypatch):
    (tmp_path / "plug_in_pack").mkdir()
    (tmp_path / "plug_in_pack/__init__.py").write_text("")
    (tmp_path / "plug_in_pack/deep.py").write_text(SOURCE.format(scale=1.0, facts=json.dumps(FACTS)))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert build_encoder(Features(model="plug_in_pack.deep:make_encoder"), 32).dim == 3


@pytest.mark.parametrize(
    ("function", "facts", "words"),
    [
        ("missing", FACTS, "has no function missing"),
        ("number", FACTS, "has no function number"),
        ("broken", FACTS, "cannot be made (OSError: no such file)"),
        ("not_a_pair", FACTS, "must return a torch module and a dict of facts"),
        ("make_encoder", {"input_px": 32}, "mean is missing; add it"),
        ("make_encoder", FACTS | {"fits": "crop"}, "unknown key fits"),
        ("make_encoder", FACTS | {"input_px": 8}, "input_px is 8, where a number of at least 16 is expected"),
    ],
)
def test_what_is_refused(write, request, function, facts, words):
    name = write(f"plug_in_r{abs(hash(request.node.name))}", facts=facts)
    with pytest.raises(UserError) as caught:
        build_encoder(Features(model=f"{name}:{function}"), 32)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("model", ["plug_in_nowhere:f", "plug_in_nowhere.inner:f"])
def test_missing_module(write, model):
    for call in (plug_in_digest, lambda name: build_encoder(Features(model=name), 32)):
        with pytest.raises(UserError, match="no module plug_in_nowhere") as caught:
            call(model)
        assert "PYTHONPATH" in str(caught.value)


def test_another_source_is_computed_again(write):
    settings, regions = Features(model=f"{write('plug_in_d')}:make_encoder"), Regions()
    first = common_digest(settings, regions, "code")
    assert common_digest(settings, regions, "code") == first
    write("plug_in_d", scale=3.0)
    assert common_digest(settings, regions, "code") != first


def test_its_digest_imports_nothing(tmp_path, write):
    package = tmp_path / "plug_in_still"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError\n")
    (package / "inner.py").write_text("raise RuntimeError\n")
    assert plug_in_digest("plug_in_still.inner:make_encoder") != plug_in_digest("plug_in_still:make_encoder")
    assert not any(name.startswith("plug_in_still") for name in sys.modules)


def test_another_file_of_its_package_too(tmp_path, write):
    package = tmp_path / "plug_in_p"
    package.mkdir()
    (package / "__init__.py").write_text("from .inner import make_encoder\n")
    (package / "inner.py").write_text("x = 1\n")
    first = plug_in_digest("plug_in_p:make_encoder")
    (package / "inner.py").write_text("x = 2\n")
    assert plug_in_digest("plug_in_p:make_encoder") != first
