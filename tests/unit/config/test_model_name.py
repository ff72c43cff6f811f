"""Names of models: each kind as it is written, with and without random weights."""

import pytest

from workflow_scripts.config.encoders import ENCODERS
from workflow_scripts.config.model_name import ModelName, parse_model


@pytest.mark.parametrize(
    ("text", "kind", "name", "rest"),
    [
        ("uni", "registry", "uni", {}),
        ("resnet50", "timm", "resnet50", {}),
        ("uni@main", "timm", "uni@main", {}),  # a revision is the hub's
        ("hf-hub:mahmoodlab/uni@main", "registry", "uni", {"revision": "main"}),
        ("hf-hub:owner/model", "hub", "owner/model", {}),
        ("hf-hub:owner/model@v1.2", "hub", "owner/model", {"revision": "v1.2"}),
        ("hf-hub:owner/model@", "hub", "owner/model", {}),
        ("hf-hub:timm/resnet50.tv_in1k", "hub", "timm/resnet50.tv_in1k", {}),  # two entries have it: built as timm says
        ("hf-hub:", "hub", "", {}),
        ("local-dir:a", "folder", "a", {}),
        ("local-dir:/a/b c", "folder", "/a/b c", {}),
    ],
)
def test_kinds(text, kind, name, rest):
    assert parse_model(text) == ModelName(kind, name, text, **rest)
    assert parse_model(f"{text}:random") == ModelName(kind, name, text, random=True, **rest)


def test_plug_ins():
    found = parse_model("my.pack_age:make_encoder")
    assert found == ModelName("plug_in", "my.pack_age", "my.pack_age:make_encoder", function="make_encoder")
    for other in ("a:b:c", "a/b:c", "mine:random", "mine:make:random", ":make", "mine:"):
        assert parse_model(other).kind == "timm", other


@pytest.mark.parametrize("name", ENCODERS)
def test_an_entry_and_its_hub_name_have_the_entry_s_facts(name):
    facts = ENCODERS[name]
    assert parse_model(name).facts is parse_model(f"{name}:random").facts is facts
    if facts.hub and not facts.hub.startswith("timm/"):
        assert parse_model(f"hf-hub:{facts.hub.upper()}@main").facts is facts
    assert parse_model("mine:make").facts is parse_model("hf-hub:owner/model").facts is None


def test_a_folder_is_written_as_timm_takes_it():
    assert ModelName.of_folder("/a/b") == parse_model("local-dir:/a/b")
