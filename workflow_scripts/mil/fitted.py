"""Heads that were fitted on all labelled slides of a task, as they are stored with a model: safetensors and JSON.

Logistic regression, ridge and Cox regression are affine maps of a slide's vector, and stored as such.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import whole_file, write_text
from workflow_scripts.core.model_facts import DIGEST, require_same_model
from workflow_scripts.core.model_heads import FOLDER
from workflow_scripts.core.patients import KEY, same_patient
from workflow_scripts.mil.bags import Bags
from workflow_scripts.mil.head import Affine
from workflow_scripts.mil.heads import make_head

_OUTCOME = {"survival": "risk", "regression": "value"}
# what every head's JSON has
_FACTS = {"task": str, "kind": str, "head": str, "n_patients": int}
_FACTS |= dict.fromkeys(("classes", "class_shares", "trained_on", "results"), list)
_MEASURED = {"metric", "headline", "value", "ci_low", "ci_high", "splits", "n_patients"}
_NONE = np.empty(0, dtype=np.int64)


def fit_on_all(
    head: str, kind: str, settings: dict[str, Any], bags: Bags, seed: int
) -> tuple[Affine, dict[str, float]]:
    """A head fitted on all bags, and what it has chosen; of the table `core.heads`, one that is affine."""
    model: Any = make_head(head, kind, settings)
    chosen = model.fit(bags, bags.take(_NONE), seed)
    return model.affine(), chosen


def class_shares(bags: Bags) -> list[float]:
    """Share of each class among the patients of all bags, each counted once; none without classes."""
    if not bags.n_classes:
        return []
    counts = np.bincount(bags.target, bags.weights, minlength=bags.n_classes)
    return [float(share) for share in counts / counts.sum()]


def save_fitted(path: Path | str, fitted: Affine, facts: dict[str, Any]) -> None:
    """Write `{task}.safetensors`, and `{task}.json` beside it, which says what `predictions` and a person want to know.

    Args:
        path: of the safetensors.
        fitted: the head.
        facts: `task`, `kind`, `head`, `classes` (in order, or empty), `class_shares`, `trained_on` (slide ids),
            `patients` (`core.patients`), `results` and more.
    """
    with whole_file(path) as partial:
        partial.write_bytes(save({"weights": fitted.weights, "bias": fitted.bias}))
    write_text(Path(path).with_suffix(".json"), json.dumps(facts, indent=2, sort_keys=True) + "\n")


def load_fitted(model: Path | str, width: int) -> list[tuple[Affine, dict[str, Any]]]:
    """The heads in a model's folder, by the name of their task; none where it has none.

    Args:
        model: its folder.
        width: of a slide's vector.

    Raises:
        UserError: a file is damaged or missing, or of another training, or of vectors of another width.
    """
    found = []
    for path in sorted((Path(model) / FOLDER).glob("*.json")):
        tensors = path.with_suffix(".safetensors")
        try:
            facts, stored = _read_facts(path), load(tensors.read_bytes())
            fitted = Affine(stored["weights"], stored["bias"])
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise UserError(
                f"the head in {tensors} cannot be read ({error}); export it again (target benchmark), or delete both "
                f"it and {path.name}"
            ) from None
        require_same_model(model, facts.get(DIGEST), path)
        outcomes = max(1, len(facts["classes"]))
        if fitted.weights.shape != (outcomes, width) or fitted.bias.shape != (outcomes,):
            raise UserError(
                f"the head in {tensors} is of {list(fitted.weights.shape)} values, the model's vectors of {width}; "
                "keep the files of one export together"
            )
        found.append((fitted, facts))
    return found


def _read_facts(path: Path) -> dict[str, Any]:
    """What `save_fitted` wrote of a head.

    Raises:
        ValueError: it is no JSON, or lacks what a new slide's tables and page tell.
    """
    facts = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(facts, dict):
        raise ValueError(f"{path.name} holds no facts of a head")
    wrong = [key for key, kind in _FACTS.items() if not isinstance(facts.get(key), kind)]
    if wrong:
        raise ValueError(f"{path.name} has no usable {wrong[0]}")
    if not facts["classes"] and facts["kind"] not in _OUTCOME:
        raise ValueError(f"{path.name} names no classes of kind {facts['kind']}")
    if len(facts["class_shares"]) != len(facts["classes"]):
        raise ValueError(f"{path.name} has not one of class_shares for each of classes")
    if not all(isinstance(row, dict) and row.keys() >= _MEASURED for row in facts["results"]):
        raise ValueError(f"{path.name} lacks one of {', '.join(sorted(_MEASURED))} under results")
    return facts


def predictions(
    slide_id: str, vector: np.ndarray, heads: Sequence[tuple[Affine, dict[str, Any]]], patient: str | None = None
) -> list[dict[str, Any]]:
    """Rows of `schemas.APPLIED_PREDICTIONS`: of each head the score of each class, or the value, or the risk.

    Scores of classes add up to 1. They are what the benchmark judges as the head's probabilities, and heads weigh all
    classes alike: where vectors tell nothing each class has the same, however rare it is.

    Args:
        slide_id: of the slide; heads that were trained on a slide of this name say so.
        vector: float32 `[D]`.
        heads: from `load_fitted`.
        patient: id of its patient, where it is known; heads that were trained on a slide of this patient say so, and
            without it heads cannot tell.
    """
    rows = []
    for (weights, bias), facts in heads:
        scores = weights @ vector.astype(np.float64) + bias
        if facts["classes"]:
            scores = np.exp(scores - scores.max())
            scores /= scores.sum()
        named = {"slide_id": slide_id, "task": facts["task"], "kind": facts["kind"], "head": facts["head"]}
        seen = facts["trained_on"]
        named["trained_on_it"] = slide_id in seen or same_patient(patient, facts.get(KEY), seen)
        outcomes = facts["classes"] or [_OUTCOME[facts["kind"]]]
        rows += [named | {"outcome": name, "value": float(s)} for name, s in zip(outcomes, scores, strict=True)]
    return rows
