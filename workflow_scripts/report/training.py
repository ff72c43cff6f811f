"""Training curves of the runs, warm-up and rounds joined."""

import math
from typing import Any

import numpy as np
import pyarrow as pa

from workflow_scripts.config import PretrainRun
from workflow_scripts.core.loss_terms import TERMS, LossTerm


def divergence(term: LossTerm) -> str:
    """Name of a term's divergence: its cross-entropy less the entropy of its targets."""
    return f"divergence_{term.name}"


# What is drawn over the steps, a line of panels for each; names are of columns of the metrics, or of what follows.
PANELS = {
    **{divergence(term): f"{term.label}: divergence (nats)" for term in TERMS},
    **{term.entropy_column: f"{term.label}: entropy of targets (nats)" for term in TERMS},
    **{term.column: f"{term.label}: cross-entropy (nats)" for term in TERMS},
    "loss": "total loss",
    "lr": "learning rate",
    "marginal_entropy": "entropy of the mean target (nats)",
    "center_norm": "norm of the teacher's centre",
    "gradient_norm": "norm of gradients, unclipped",
    "weight_norm": "norm of weights",
}
NOT_ALWAYS = ("gradient_norm", "weight_norm")
"""Columns that earlier metrics lack: without any, they have no panel."""
FROM_THE_ROUNDS = {
    name for term in TERMS if term.on_prototypes for name in (term.column, term.entropy_column, divergence(term))
}
OF_TERMS = {name for term in TERMS for name in (term.column, term.entropy_column, divergence(term))}
_DERIVED = {divergence(term): (term.column, term.entropy_column) for term in TERMS}
COLUMNS = (*(name for name in PANELS if name not in _DERIVED), "regions_per_s")


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
            known = panel in table.column_names  # entropies of prototype targets and norms were not always recorded
            column = table[panel].to_numpy(zero_copy_only=False) if known else np.full(len(table), np.nan)
            values[panel].append(column.astype(float))
    joined = {name: np.concatenate(chunks) if chunks else np.empty(0) for name, chunks in values.items()}
    joined |= {name: joined[cross] - joined[least] for name, (cross, least) in _DERIVED.items()}
    return {"step": np.concatenate(steps) if steps else np.empty(0), "starts": starts, **joined}


# What clusterings tell of themselves, a panel each, over the rounds; a second name is what chance would have.
BY_ROUND = {
    "feature_rank": ("effective rank of the features", None),
    "agreement": ("agreement with the round before", None),
    "mean_smallest_share": ("share of the rarest prototype", None),
    "tissue_explained": ("share explained by glass", "tissue_explained_chance"),
}


def round_lines(clusterings: list[tuple[int, dict[str, Any]]]) -> dict[str, np.ndarray]:
    """What the clusterings of a run tell of themselves.

    Args:
        clusterings: round, and metadata of its tables; one that was handed on tells nothing of its own.

    Returns:
        `round` `[n]`, and each value of `BY_ROUND` and its chance `[n]`, NaN where it is not told.
    """
    own = [(number, facts) for number, facts in clusterings if not facts.get("handed_on")]
    names = [name for panel, (_, chance) in BY_ROUND.items() for name in (panel, chance) if name]
    told = {name: [facts.get(name) for _, facts in own] for name in names}
    found = {name: np.array([math.nan if one is None else one for one in values]) for name, values in told.items()}
    return {"round": np.array([number for number, _ in own]), **found}


def told_batch(run: str, jobs: list[dict[str, Any]]) -> int | None:
    """Regions a step, as the last of a run's training jobs tells; fewer than its batch_size in a small cohort.

    Args:
        run: its name.
        jobs: from `Results.speeds`.
    """
    told = [job["batch"] for job in jobs if run in job["run"].split(", ") and job.get("batch")]
    return told[-1] if told else None


def run_line(
    name: str, settings: PretrainRun, rounds: int, curve: dict[str, Any], batch: int | None = None
) -> dict[str, Any]:
    """What the table of runs says of one run; `batch` is regions a step, None where no job tells them."""
    loss, entropy = curve["loss"], curve["teacher_entropy"]
    return {
        "name": name,
        "weights": " / ".join(f"{settings.loss.weight(term):g}" for term in TERMS),
        "warmup_epochs": settings.warmup_epochs,
        "rounds": rounds,
        "epochs_per_round": settings.epochs_per_round,
        "steps": len(loss),
        "prototypes": _prototypes(settings),
        "loss_first": float(loss[0]) if len(loss) else None,
        "loss_last": float(loss[-1]) if len(loss) else None,
        "entropy_last": float(entropy[-1]) if len(entropy) else None,
        "divergences": [_ends(curve[divergence(term)], curve, term) for term in TERMS],
        "entropy_most": math.log(settings.head.out_dim),
        "broken": int((~np.isfinite(loss)).sum()),
        **_cost(batch, curve["regions_per_s"]),
    }


def _prototypes(settings: PretrainRun) -> str:
    """How many prototypes there are, of what; empty where there are none."""
    if not settings.uses_prototypes:
        return ""
    counts = settings.prototypes
    return f"{counts.count} a slide" if settings.has_slide_sets else f"{counts.global_count} of the cohort"


def _cost(batch: int | None, speed: np.ndarray) -> dict[str, Any]:
    """Regions a step, median speed in regions/s `[n]`, and the minutes that all steps took."""
    told = speed[np.isfinite(speed) & (speed > 0)]
    if not len(told):
        return {"batch": batch, "speed": None, "minutes": None}
    whole = len(told) == len(speed)
    return {
        "batch": batch,
        "speed": float(np.median(told)),
        "minutes": float((batch / told).sum() / 60) if batch is not None and whole else None,
    }


def _ends(values: np.ndarray, curve: dict[str, Any], term: LossTerm) -> tuple[float, float] | None:
    """A term's divergence `[n]`, nats, over the first and the last tenth of the steps; null where it is not known."""
    taken = (
        curve["step"] >= curve["starts"].get("round 1", np.inf) if term.on_prototypes else np.full(len(values), True)
    )
    known = values[taken & np.isfinite(values) & (curve[term.column] != 0)]
    part = max(1, len(known) // 10)
    return (float(known[:part].mean()), float(known[-part:].mean())) if len(known) else None
