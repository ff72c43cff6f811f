"""The configuration's JSON Schema: by it, editors complete and check a config file while it is written.

It knows names, types and ranges. What keys have to do with each other, `load_config` alone checks.
"""

import json
from typing import Any

from workflow_scripts.config import Config

# An older draft, for editors know it best.
_DRAFT = "http://json-schema.org/draft-07/schema#"


def _for_editors(schema: dict[str, Any]) -> dict[str, Any]:
    """pydantic's schema of a value as editors show and check it best.

    Without titles, which repeat the names, and without the defaults of whole sections; with descriptions on one line;
    closed to keys that no pattern allows; a list of so many values of one kind as the older draft writes it; and with
    a sentence in place of the mark `free`.
    """
    told: dict[str, Any] = {}
    for key, value in schema.items():
        if key in ("properties", "patternProperties", "$defs"):
            told[key] = {name: _for_editors(one) for name, one in value.items()}
        elif key in ("anyOf", "oneOf"):
            told[key] = [_for_editors(one) for one in value]
        elif key in ("items", "additionalProperties") and isinstance(value, dict):
            told[key] = _for_editors(value)
        elif key == "prefixItems":
            told["items"] = _for_editors(value[0])
        elif key == "description":
            told[key] = " ".join(value.split()) + (" Editing it reruns nothing." if "free" in schema else "")
        elif key not in ("title", "free") and not (key == "default" and "$ref" in schema):
            told[key] = value
    if "patternProperties" in told:
        told.setdefault("additionalProperties", False)
    return told


def _entries(section: dict[str, Any], key: str, entry: dict[str, Any]) -> None:
    """Let the named entries of `key` be as `entry` says, or null, which drops one of a config below."""
    named = section["properties"][key]
    pattern = next(iter(named["patternProperties"]))
    named["patternProperties"] = {pattern: {"anyOf": [entry, {"type": "null"}]}}


def config_schema() -> dict[str, Any]:
    """The schema of a config file, which may name as few keys as it likes, as a JSON-serialisable dict."""
    schema = Config.model_json_schema()
    defs = schema["$defs"]
    pretrain, run = defs["Pretrain"], defs["PretrainRun"]
    defs["NamedRun"] = run | {"properties": {"preset": pretrain["properties"]["preset"]} | run["properties"]}
    _entries(pretrain, "runs", {"$ref": "#/$defs/NamedRun"})
    tasks = defs["Benchmark"]["properties"]["tasks"]
    _entries(defs["Benchmark"], "tasks", next(iter(tasks["patternProperties"].values())))
    facts = {"$schema": _DRAFT, "title": "Configuration of the SLPD workflow"}
    return facts | _for_editors(schema)


def schema_text() -> str:
    """The schema as a file: `config.schema.json`."""
    return json.dumps(config_schema(), indent=1, ensure_ascii=False) + "\n"
