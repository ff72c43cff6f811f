"""Where fitted heads lie in a model's folder, and which of them go when the model is exported anew. No torch here."""

import json
from collections.abc import Callable, Collection
from pathlib import Path

from workflow_scripts.core.model_facts import DIGEST

FOLDER = "heads"
"""Of a model's folder; `{task}.safetensors` and `{task}.json` in it."""


def remove_heads_of_other_models(model: str | Path, digest: str) -> list[str]:
    """Remove heads that do not say that they belong to weights of this SHA-256; names of their tasks."""
    return _remove(model, lambda task: belongs_to(Path(model) / FOLDER / f"{task}.json") != digest)


def remove_other_heads(model: str | Path, tasks: Collection[str]) -> list[str]:
    """Remove heads of other tasks than these, which may just be written; names of those tasks."""
    return _remove(model, lambda task: task not in tasks)


def _remove(model: str | Path, unwanted: Callable[[str], bool]) -> list[str]:
    folder = Path(model) / FOLDER
    there = {path.stem for kind in ("json", "safetensors") for path in folder.glob(f"[!.]*.{kind}")}
    removed = sorted(task for task in there if unwanted(task))
    for task in removed:
        for kind in ("json", "safetensors"):
            (folder / f"{task}.{kind}").unlink(missing_ok=True)
    return removed


def belongs_to(path: Path) -> object:
    """SHA-256 of the weights that a head's JSON says it belongs to; None where it cannot be read."""
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return facts.get(DIGEST) if isinstance(facts, dict) else None
