"""Whether the features of a slide are of the kind that a model was trained on."""

import json
from typing import Any

from workflow_scripts.core.errors import UserError


def require_same_features(facts: dict[str, Any], meta: dict[str, Any], where: str) -> None:
    """Refuse features that are not made as those that a model was trained on.

    The precision may differ: a GPU multiplies in bfloat16 where a CPU does not.

    Args:
        facts: the model's config.json.
        meta: metadata of a slide's feature file.
        where: the file, for the sentence.

    Raises:
        UserError: another um/px, patch, grid, encoder, other weights, or patches prepared in another way.
    """
    own, given = _comparable(facts["features"]), _comparable(meta)
    for key, value in own.items():
        if value is not None and given.get(key) != value:
            raise UserError(
                f"{where} was made with {key} {json.dumps(given.get(key))}, and the model was trained on features with "
                f"{json.dumps(value)}; extract the features as the model's cohort has them"
            )


def _comparable(features: dict[str, Any]) -> dict[str, Any]:
    """What must be equal, by the words in which it is told."""
    encoder, prepared = features.get("encoder", {}), dict(features.get("preprocessing") or {})
    prepared.pop("precision", None)
    parts = {"um/px": features.get("mpp"), "patch_px": features.get("patch_px"), "grid": features.get("grid")}
    parts |= {"width": features.get("dim"), "encoder": encoder.get("name")}
    parts |= {"weights (SHA-256)": encoder.get("weights_sha256"), "module (SHA-256)": encoder.get("plug_in_sha256")}
    return parts | {"pooling": encoder.get("pooling"), "preprocessing": prepared or None}
