"""The files of an exported model's folder that new slides need, told without torch (docs/apply.md)."""

from collections.abc import Iterable
from pathlib import Path

from workflow_scripts.config.pretrain import PretrainRun
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.model_facts import read_facts

CLUSTERING = "clustering.safetensors"
"""The teacher by whose features the cohort was last clustered, a round behind the model itself."""
PROTOTYPES = "prototypes.parquet"
"""The sets that it found, a slide each."""
FOR_NEW_SLIDES = ("model.safetensors", "config.json", CLUSTERING, PROTOTYPES)


def require_files(folder: str | Path, names: Iterable[str] = FOR_NEW_SLIDES) -> None:
    """Refuse a model whose folder lacks a file.

    Raises:
        UserError: see `read_facts`; the first of the names that is missing, and why it may be.
    """
    settings = read_facts(folder).get("settings")
    missing = next((path for path in (Path(folder) / name for name in names) if not path.is_file()), None)
    if missing is None:
        return
    if settings and not PretrainRun.model_validate(settings).has_slide_sets:
        raise UserError(
            f"the model in {folder} was trained without prototypes of slides, so there are none to search; give that "
            "of a run with prototypes, or embed by this one in Python (RegionEncoder, docs/apply.md)"
        )
    raise UserError(
        f"{missing} is missing: the model was exported by an earlier version, or not all of its folder was copied; run "
        "the workflow of its cohort again (target embed), which adds it without training"
    )
