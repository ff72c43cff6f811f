"""The files of an exported model's folder that new slides need, told without torch (docs/apply.md)."""

import json
from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from workflow_scripts import __version__
from workflow_scripts.config.pretrain import PretrainRun
from workflow_scripts.config.problems import first_problem
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.model_facts import DIGEST, read_facts, require_same_model
from workflow_scripts.core.model_heads import FOLDER, belongs_to

CLUSTERING = "clustering.safetensors"
"""The teacher by whose features the cohort was last clustered, a round behind the model itself."""
PROTOTYPES = "prototypes.parquet"
"""The sets that it found, a slide each."""
FOR_NEW_SLIDES = ("model.safetensors", "config.json", CLUSTERING, PROTOTYPES)


def model_settings(folder: str | Path) -> PretrainRun:
    """Settings of a model's training.

    Raises:
        UserError: see `read_facts`; it does not tell them, or in keys and values that this version does not know.
    """
    settings, path = read_facts(folder).get("settings"), Path(folder) / "config.json"
    if not isinstance(settings, dict):
        raise UserError(f"{path} has no settings of the model's training; run the workflow of its cohort again")
    try:
        return PretrainRun.of_step(settings)
    except ValidationError as error:
        raise UserError(
            f"{path}: settings of another version of the workflow: {first_problem(error, mend=False)}; use that "
            f"version, or run the workflow of the model's cohort again by this one (here {__version__}, the model by "
            f"{read_facts(folder).get('version', 'an unknown one')})"
        ) from None


def require_one_training(folder: str | Path) -> None:
    """Refuse a folder with a clustering or heads of another training than the model's, before anything is encoded.

    Tables say the same where they are read; those of a clustering are written with it.

    Raises:
        UserError: see `require_same_model`.
    """
    require_same_model(folder, _metadata(Path(folder) / CLUSTERING).get(DIGEST), Path(folder) / CLUSTERING)
    for path in sorted((Path(folder) / FOLDER).glob("[!.]*.json")):
        require_same_model(folder, belongs_to(path), path)


def _metadata(path: Path) -> dict[str, str]:
    """Metadata of a safetensors file, without a library; empty where it cannot be read, as its reader tells."""
    try:
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        return dict(header["__metadata__"])
    except (OSError, ValueError, KeyError, TypeError, OverflowError, MemoryError):
        return {}


def require_files(folder: str | Path, names: Iterable[str] = FOR_NEW_SLIDES) -> None:
    """Refuse a model whose folder lacks a file.

    Raises:
        UserError: see `read_facts`; the first of the names that is missing, and why it may be.
    """
    facts = read_facts(folder)
    missing = next((path for path in (Path(folder) / name for name in names) if not path.is_file()), None)
    if missing is None:
        return
    if facts.get("settings") and not model_settings(folder).has_slide_sets:
        raise UserError(
            f"the model in {folder} was trained without prototypes of slides, so there are none to search; give that "
            "of a run with prototypes, or embed by this one in Python (RegionEncoder, docs/apply.md)"
        )
    raise UserError(
        f"{missing} is missing: the model was exported by an earlier version, or not all of its folder was copied; run "
        "the workflow of its cohort again (target embed), which adds it without training"
    )
