"""config/config.schema.json: up to date, right for the files beside it, and of one mind with `load_config`."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator, Draft202012Validator

from workflow_scripts.config import Config, load_config
from workflow_scripts.config.reruns import Key, config_keys
from workflow_scripts.config.schema import config_schema, schema_text
from workflow_scripts.core.errors import UserError
from workflow_scripts.write_schema import main

FOLDER = Path(__file__).resolve().parents[3] / "config"
FILES = [FOLDER / "config.yaml", *sorted((FOLDER / "presets").glob("*.yaml"))]
# Editors check by the older draft, Snakemake's own `validate` by the newer.
VALIDATORS = [kind(config_schema()) for kind in (Draft7Validator, Draft202012Validator)]


def accepted(config: dict[str, Any]) -> bool:
    """Whether the schema takes a config; both drafts must agree."""
    first, second = (validator.is_valid(config) for validator in VALIDATORS)
    assert first == second
    return first


def taken(config: dict[str, Any]) -> bool:
    """Whether the workflow takes it."""
    try:
        load_config(config)
    except UserError:
        return False
    return True


def setting(key: Key, value: Any) -> dict[str, Any]:
    """A config of one value, for an entry named `<name>` one of ours."""
    config = value
    for name in reversed(key.name.replace("<name>", "some").split(".")):
        config = {name: config}
    return config


def test_file_is_up_to_date():
    mend = "run: python -m workflow_scripts.describe_config --file config/README.md"
    assert (FOLDER / "config.schema.json").read_text(encoding="utf-8") == schema_text(), mend
    Draft7Validator.check_schema(config_schema())


def test_command_prints_and_writes_it(tmp_path, capsys):
    main([])
    assert capsys.readouterr().out == schema_text()
    main(["--output", str(tmp_path / "new" / "s.json")])
    assert (tmp_path / "new" / "s.json").read_text(encoding="utf-8") == schema_text()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_configs_are_valid_and_name_it(path):
    text = path.read_text(encoding="utf-8")
    assert accepted(yaml.safe_load(text))
    named = re.match(r"# yaml-language-server: \$schema=(\S+)\n", text)
    assert named and (path.parent / named[1]).resolve() == FOLDER / "config.schema.json"


def test_defaults_are_valid():
    assert accepted(json.loads(Config().model_dump_json()))
    assert accepted({})


@pytest.mark.parametrize("key", config_keys(), ids=lambda key: key.name)
def test_a_misspelt_key_is_refused_as_the_workflow_does(key):
    misspelt = setting(key._replace(name=f"{key.name}x"), None)
    assert not accepted(misspelt) and not taken(misspelt)


@pytest.mark.parametrize("key", config_keys(), ids=lambda key: key.name)
def test_wrong_values_are_refused_as_the_workflow_does(key):
    odd = setting(key, {"no": {"such": "thing"}})
    assert not accepted(odd) and not taken(odd)
    schema = key.schema
    beyond = [schema[name] - 1 for name in ("minimum", "exclusiveMinimum") if name in schema]
    beyond += [schema[name] + 1 for name in ("maximum", "exclusiveMaximum") if name in schema]
    for value in [*beyond, "otherwise"] if beyond or "enum" in schema else []:
        assert not accepted(setting(key, value)) and not taken(setting(key, value)), value


@pytest.mark.parametrize(
    ("part", "right"),
    [
        ({"pretrain": {"runs": {"slpd": {"preset": "official"}, "old": None}}}, True),
        ({"pretrain": {"runs": {"slpd": {"preset": "publishd"}}}}, False),
        ({"pretrain": {"runs": {"slpd": {"loss": {"intra_weight": 0}, "rounds": 3}}}}, True),
        ({"pretrain": {"runs": {"slpd": {"loss": {"intra_wieght": 0}}}}}, False),
        ({"pretrain": {"runs": {"two words": {}}}}, False),
        ({"benchmark": {"tasks": {"grade": None, "two": {"kind": "classification", "label": "two"}}}}, True),
        ({"benchmark": {"tasks": {"grade": {"kind": "ordinal", "label": "grade"}}}}, True),
        ({"benchmark": {"tasks": {"grade": {"label": "grade"}}}}, False),
        ({"benchmark": {"heads": {"ordinal": ["knn"], "classification": ["knn"]}}}, True),
        ({"benchmark": {"heads": {"ordinary": ["knn"]}}}, False),
        ({"features": {"mean": [0.5, 0.5, 0.5]}}, True),
        ({"features": {"mean": [0.5, 0.5]}}, False),
        ({"tissue": {"threshold": "otsu"}}, True),
        ({"tissue": {"threshold": 0.2}}, True),
        ({"tissue": {"threshold": "ostu"}}, False),
        ({"report": {"title": "My cohort"}}, True),
    ],
)
def test_entries_lists_and_choices(part, right):
    assert accepted(part) == taken(part) == right


def test_descriptions_say_what_reruns_nothing():
    shown = config_schema()["$defs"]["Features"]["properties"]["batch_size"]
    assert shown["description"].endswith("Editing it reruns nothing.") and "free" not in shown
    assert config_schema()["$defs"]["Report"]["properties"]["title"]["default"] == Config().report.title
