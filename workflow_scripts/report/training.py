"""Training curves of the runs, warm-up and rounds joined."""

import math
from typing import Any

import numpy as np
import pyarrow as pa

from workflow_scripts.config import PretrainRun
from workflow_scripts.core.loss_terms import TERMS

# columns of the metrics and their titles
PANELS = {
    "loss": "loss",
    **{term.column: term.label for term in TERMS},
    "lr": "learning rate",
    "teacher_entropy": "teacher entropy (nats)",
}
COLUMNS = (*PANELS, "regions_per_s")
FROM_THE_ROUNDS = {term.column for term in TERMS if term.on_prototypes}


def join_parts(parts: list[tuple[str, pa.Table]]) -> dict[str, Any]:
    """Warm-up and rounds as one curve.

    Returns:
        `step` `[n]`, every panel's values `[n]` (NaN where null), and `starts`, the first step of each part by
        name. Steps that start again in a later part are moved behind the part before.
    """
    steps: list[np.ndarray] = []
    starts: dict[str, float] = {}
    values: dict[str, list[np.ndarray]] = {name: [] for name in COLUMNS}
    behind = -1
    for name, table in parts:
        own = table["step"].to_numpy().astype(float)
        own = own if own[0] > behind else own - own[0] + behind + 1
        behind = own[-1]
        starts[name] = float(own[0])
        steps.append(own)
        for panel in COLUMNS:
            column = table[panel].to_numpy(zero_copy_only=False).astype(float)
            values[panel].append(column)
    joined = {name: np.concatenate(chunks) if chunks else np.empty(0) for name, chunks in values.items()}
    return {"step": np.concatenate(steps) if steps else np.empty(0), "starts": starts, **joined}


def run_line(name: str, settings: PretrainRun, rounds: int, curve: dict[str, Any]) -> dict[str, Any]:
    """What the table of runs says of one run."""
    loss, entropy = curve["loss"], curve["teacher_entropy"]
    return {
        "name": name,
        "weights": " / ".join(f"{settings.loss.weight(term):g}" for term in TERMS),
        "warmup_epochs": settings.warmup_epochs,
        "rounds": rounds,
        "epochs_per_round": settings.epochs_per_round,
        "steps": len(loss),
        "prototypes": settings.prototypes.count if settings.uses_prototypes else None,
        "loss_first": float(loss[0]) if len(loss) else None,
        "loss_last": float(loss[-1]) if len(loss) else None,
        "entropy_last": float(entropy[-1]) if len(entropy) else None,
        "entropy_most": math.log(settings.head.out_dim),
        "broken": int((~np.isfinite(loss)).sum()),
        **_cost(settings, curve["regions_per_s"]),
    }


def _cost(settings: PretrainRun, speed: np.ndarray) -> dict[str, Any]:
    """Regions a step, median speed in regions/s `[n]`, and the minutes that all steps took."""
    batch, told = settings.optimiser.batch_size, speed[np.isfinite(speed) & (speed > 0)]
    if not len(told):
        return {"batch": batch, "speed": None, "minutes": None}
    whole = len(told) == len(speed)
    return {
        "batch": batch,
        "speed": float(np.median(told)),
        "minutes": float((batch / told).sum() / 60) if whole else None,
    }
