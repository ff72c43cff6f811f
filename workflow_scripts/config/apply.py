"""New slides by a trained model: which model and which slides, and the settings that the model brings along."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from workflow_scripts.config.base import Count, Section
from workflow_scripts.config.model_folder import model_settings, require_files, require_one_training
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.model_facts import cohort_facts, trained_features

NO_TRAINING = "where apply.model is set nothing is trained"
_NAME = "applied"  # of the new slides' results, where the configuration gives none
_NOT_DONE = ("pretrain", "embed", "benchmark")
TRAINED = (
    *("pretrain", "atlas", "attention", "qupath", "figures", "embed", "anndata", "search_index", "benchmark", "report"),
)
"""Targets that train, or need what is trained."""
_TRAINED_FILES = ("pretrain", "embeddings", "benchmark", "report", "qupath", "figures", "export/anndata")
# of a run's settings: what asks for other trainings, or for files of another machine
_OF_TRAINING = {"train_only": None, "fold": None, "init": None, "seeds": 1}


class Apply(Section):
    model: str | None = None
    """Folder of an exported model: new slides are treated as its cohort was, embedded, and compared with it."""
    manifest: str | None = None
    """CSV of the new slides, as cohort.manifest."""
    neighbours: Count = 5
    """Slides of the model's cohort that are found for each new slide."""


def with_model(raw: dict[str, Any]) -> dict[str, Any]:
    """A configuration with the settings of the model that its section `apply` names; without one, as it is.

    Args:
        raw: sections with their keys, not validated.

    Raises:
        UserError: the model lacks files or does not say how its cohort was treated, or the configuration says
            otherwise, or names no slides, or something that is not done with new slides.
    """
    section = raw.get("apply") if isinstance(raw, dict) else None
    folder, manifest = (section.get(key) if isinstance(section, dict) else None for key in ("model", "manifest"))
    if folder is None and manifest is None:
        return raw
    if not isinstance(folder, str) or not isinstance(manifest, str):
        missing = "manifest, a CSV of new slides" if isinstance(folder, str) else "model, the folder of an exported one"
        raise UserError(f"configuration: apply has no {missing}; give both model and manifest, or leave apply out")
    for name in _NOT_DONE:
        if raw.get(name):
            raise UserError(f"configuration: {name} is set, and apply trains and tests nothing; leave {name} out")
    require_files(folder)
    require_one_training(folder)
    merged = {**raw, "cohort": _cohort(_section(raw, "cohort"), manifest)}
    for name, settings in brought_along(folder).items():
        merged[name] = _as_the_model(name, _section(raw, name), settings, folder)
    merged["pretrain"] = {"defaults": {**model_settings(folder).model_dump(mode="json"), **_OF_TRAINING}}
    return merged


def brought_along(folder: str) -> dict[str, dict[str, Any]]:
    """Sections that a model brings along: how its cohort was treated, and the digest of its encoder's weights.

    And the scale of its regions, coarser slides than which are no slides for it.

    Raises:
        UserError: see `cohort_facts` and `trained_features`.
    """
    stages, features = dict(cohort_facts(folder)["stages"]), trained_features(folder)
    stages["slides"] = stages["slides"] | {"mpp_of_regions": stages["regions"]["mpp"]}
    if "source" not in stages:
        digest = features["encoder"].get("weights_sha256")
        stages["features"] = stages["features"] | ({"weights_sha256": digest} if digest else {})
    return stages


def _section(raw: dict[str, Any], name: str) -> dict[str, Any]:
    given = raw.get(name) or {}
    if not isinstance(given, dict):
        raise UserError(f"configuration: {name} is {given!r}; write keys of {name} with a value each")
    return given


def _cohort(given: dict[str, Any], manifest: str) -> dict[str, Any]:
    for key in ("manifest", "test_manifest"):
        if given.get(key) not in (None, manifest):
            raise UserError(f"configuration: cohort.{key} is set beside apply.manifest; leave cohort.{key} out")
    return {"name": _NAME, **given, "manifest": manifest}


def _as_the_model(name: str, given: dict[str, Any], own: dict[str, Any], folder: str) -> dict[str, Any]:
    """A section's keys, those of the model among them; keys that the model leaves open are the user's."""
    for key, value in own.items():
        if key in given and given[key] != value:
            raise UserError(
                f"configuration: {name}.{key} is {given[key]!r}, and the cohort of the model in {folder} was made with "
                f"{value!r}; leave {name}.{key} out"
            )
    return {**given, **own}


def require_no_training(words: Iterable[str], cohort: str) -> None:
    """Refuse a target or file that is trained or needs what is, where a model is applied.

    Args:
        words: of the command. A target among them is not told from a folder of its name, so such a word goes through
            where there is one: the first training is refused all the same, in the words of Snakemake.
        cohort: folder of its results.

    Raises:
        UserError: the first such target or file.
    """
    for word in words:
        file = os.path.normpath(word).startswith(tuple(f"{cohort}/{name}" for name in _TRAINED_FILES))
        if (word in TRAINED or file) and not Path(word).exists():
            raise UserError(
                f"the {'file' if file else 'target'} {word} trains or needs what is trained here, and {NO_TRAINING}; "
                "ask for apply, or leave the section apply out"
            )


def require_own_results(name: str) -> None:
    """Refuse to put new slides among the results of a cohort that something was trained on.

    Raises:
        UserError: there is such a cohort.
    """
    if (Path("results") / name / "pretrain").is_dir():
        raise UserError(
            f"results/{name} holds a cohort that was trained on, which new slides must not change; give them another "
            "cohort.name"
        )
