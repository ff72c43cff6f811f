"""What `config.json` of an exported model says, read without torch: a configuration may name a model."""

import json
from pathlib import Path
from typing import Any

from workflow_scripts.core.errors import UserError

DIGEST = "model_sha256"
"""SHA-256 of model.safetensors, in config.json and in all that belongs to that model."""
_MEND = "copy the model's folder anew, or run the workflow of its cohort again (target embed)"


def read_facts(folder: str | Path) -> dict[str, Any]:
    """What `config.json` of an exported model says.

    Raises:
        UserError: there is no such file, or it is not one of ours.
    """
    path = Path(folder) / "config.json"
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{path} is missing; give the folder of an exported model, or export it again") from None
    except ValueError as error:
        raise UserError(f"{path} is no JSON file ({error}); export the model again") from None
    if not isinstance(facts, dict) or not isinstance(facts.get("architecture"), dict):
        raise UserError(f"{path} does not describe a region encoder; give the folder of an exported model")
    return facts


def cohort_facts(folder: str | Path) -> dict[str, Any]:
    """Its `cohort`: name, and under `stages` the settings by which its slides became features (docs/apply.md).

    Raises:
        UserError: as `read_facts`, or the model was exported before these were written, or they are damaged.
    """
    facts = read_facts(folder).get("cohort")
    if not isinstance(facts, dict) or not isinstance(facts.get("stages"), dict):
        raise UserError(
            f"the model in {folder} does not say how the slides of its cohort were treated, as it was exported by an "
            "earlier version; run the workflow of its cohort again, which exports it anew without training"
        )
    damaged = [name for name in ("slides", "regions") if not isinstance(facts["stages"].get(name), dict)]
    damaged += [] if damaged or "mpp" in facts["stages"]["regions"] else ["regions.mpp"]
    damaged += [name for name, settings in facts["stages"].items() if not isinstance(settings, dict)]
    if damaged:
        raise UserError(f"{Path(folder) / 'config.json'} has no usable cohort.stages.{damaged[0]}; {_MEND}")
    return facts


def trained_features(folder: str | Path) -> dict[str, Any]:
    """Its `features`: what the metadata of the cohort's feature files said, with `grid` and `encoder`.

    Raises:
        UserError: as `read_facts`, or they are missing or damaged.
    """
    facts = read_facts(folder).get("features")
    if not isinstance(facts, dict):
        raise UserError(f"{Path(folder) / 'config.json'} does not say by which features the model was trained; {_MEND}")
    for name, kind in (("grid", int), ("encoder", dict)):
        if not isinstance(facts.get(name), kind):
            raise UserError(f"{Path(folder) / 'config.json'} has no usable features.{name}; {_MEND}")
    return facts


def run_name(folder: str | Path) -> str:
    """What the model of a folder is called: its run where the folder is as the workflow leaves it, else the folder."""
    at = Path(folder).resolve()
    return at.parent.name if at.name == "model" and at.parent.name else at.name


def model_digest(folder: str | Path) -> str:
    """SHA-256 of the model's weights, by its `config.json`.

    Raises:
        UserError: as `read_facts`, or the model was exported before this was written.
    """
    digest = read_facts(folder).get(DIGEST)
    if not isinstance(digest, str):
        raise UserError(
            f"the config.json of the model in {folder} has no SHA-256 of the model, as it was exported by an earlier "
            "version; run the workflow of its cohort again (target embed), which exports it anew without training"
        )
    return digest


def require_same_model(folder: str | Path, found: object, path: Path) -> None:
    """Refuse a file that belongs to other weights than the folder's.

    Args:
        folder: the model's.
        found: what the file says under `DIGEST`; None where it says nothing.
        path: the file, for the sentence.

    Raises:
        UserError: see `model_digest`; or the two differ.
    """
    if found != model_digest(folder):
        raise UserError(
            f"{path} belongs to another training than the model beside it; keep the files of one export together, or "
            "run the workflow of the model's cohort again (target embed; of heads, benchmark)"
        )
