"""The table of results: every metric of every prediction file, with intervals and the comparison with the baseline."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.seeds import derive_seed
from workflow_scripts.core.tasks import KINDS
from workflow_scripts.mil.intervals import (
    bootstrap_values,
    mean_sd,
    paired_difference,
    patient_resamples,
    percentile_interval,
)
from workflow_scripts.mil.metrics import metrics_of
from workflow_scripts.mil.predictions import patient_outcomes


@dataclass(frozen=True)
class Scored:
    """Metrics of one task, representation and head.

    Attributes:
        meta: metadata of its predictions.
        patients: P patient ids, sorted.
        n_slides: predicted slides.
        pooled: metric over all patients, by name.
        folds: metric of each fold, by name.
        resampled: float64 `[B]` by metric, on resamples that all files of the task share.
    """

    meta: dict[str, Any]
    patients: list[str]
    n_slides: int
    pooled: dict[str, float]
    folds: dict[str, list[float]]
    resampled: dict[str, np.ndarray]

    @property
    def key(self) -> tuple[str, str, str]:
        return self.meta["task"], self.meta["representation"], self.meta["head"]


def score_predictions(rows: list[dict[str, Any]], meta: dict[str, Any], bootstraps: int, seed: int) -> Scored:
    """Score one file of predictions; rows and meta as `fit_head` writes them."""
    patients, fold_of, outcomes = patient_outcomes(rows, KINDS[meta["kind"]], meta["classes"])
    metrics = metrics_of(meta["kind"], len(meta["classes"]))
    resamples = patient_resamples(len(patients), bootstraps, derive_seed(seed, meta["task"]))
    by_fold = [outcomes.take(np.flatnonzero(fold_of == fold)) for fold in np.unique(fold_of)]
    return Scored(
        meta=meta,
        patients=patients,
        n_slides=len({row["slide_id"] for row in rows}),
        pooled={name: metric(outcomes) for name, metric in metrics.items()},
        folds={name: [metric(part) for part in by_fold] for name, metric in metrics.items()},
        resampled=bootstrap_values(metrics, outcomes, resamples),
    )


def _baseline_of(scored: Scored, known: dict[tuple[str, str, str], Scored], baseline: str) -> Scored | None:
    task, representation, head = scored.key
    if representation == baseline:
        return None
    base = known.get((task, baseline, head))
    if base is None:
        raise UserError(
            f"no predictions of the baseline {baseline} for task {task} and head {head}; "
            "give its predictions.parquet too, or set benchmark.baseline to a representation that is there"
        )
    if base.patients != scored.patients:
        raise UserError(
            f"task {task}, head {head}: {representation} and {baseline} were tested on different patients; "
            "fit both heads again with the same splits.parquet"
        )
    return base


def _row(scored: Scored, metric: str, base: Scored | None) -> dict[str, Any]:
    mean, sd = mean_sd(scored.folds[metric])
    interval = percentile_interval(scored.pooled[metric], scored.resampled[metric])
    row = {
        **{name: scored.meta[name] for name in ("task", "kind", "representation", "pretrained_on", "head")},
        "metric": metric,
        "mean": mean,
        "sd": sd,
        "pooled": interval.value,
        "ci_low": interval.low,
        "ci_high": interval.high,
        "folds": scored.folds[metric],
        "n_patients": len(scored.patients),
        "n_slides": scored.n_slides,
        "n_excluded": scored.meta["n_excluded"],
    }
    if base is not None:
        change = paired_difference(
            scored.pooled[metric], scored.resampled[metric], base.pooled[metric], base.resampled[metric]
        )
        row |= {
            "baseline": base.meta["representation"],
            "difference": change.value,
            "difference_low": change.low,
            "difference_high": change.high,
        }
    return row


def result_rows(scored: list[Scored], baseline: str) -> list[dict[str, Any]]:
    """Rows of `schemas.RESULTS`, sorted by task, head, representation and the metrics' own order.

    Raises:
        UserError: two files are of the same task, representation and head; the baseline is not among them or was
            tested on other patients.
    """
    known: dict[tuple[str, str, str], Scored] = {}
    for item in scored:
        if item.key in known:
            raise UserError(
                "--predictions holds task {}, representation {}, head {} twice; give each file once".format(*item.key)
            )
        known[item.key] = item
    ordered = sorted(scored, key=lambda item: (item.key[0], item.key[2], item.key[1]))
    return [_row(item, metric, _baseline_of(item, known, baseline)) for item in ordered for metric in item.pooled]


def result_table(rows: list[dict[str, Any]]) -> str:
    """The rows as text: task, head, representation, metric, value [low, high], difference to the baseline."""
    cells = [("task", "head", "representation", "metric", "value [95 % interval]", "minus baseline")]
    for row in rows:
        value = f"{row['pooled']:.3f} [{row['ci_low']:.3f}, {row['ci_high']:.3f}]"
        change = row.get("difference", math.nan)
        against = (
            f"{change:+.3f} [{row['difference_low']:+.3f}, {row['difference_high']:+.3f}]"
            if row.get("baseline")
            else ""
        )
        cells.append((row["task"], row["head"], row["representation"], row["metric"], value, against))
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )
