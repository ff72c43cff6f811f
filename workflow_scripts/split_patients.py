"""Deal the labelled patients of a task to splits, or read given ones, once and for all representations."""

from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from workflow_scripts.config import Section, Task
from workflow_scripts.config.base import Count
from workflow_scripts.core import schemas
from workflow_scripts.core.cells import first_few
from workflow_scripts.core.entry import entry_parser, log, parse_entry, run_entry
from workflow_scripts.core.feature_store import usable_slides
from workflow_scripts.core.manifest import read_manifest
from workflow_scripts.core.tables import write_table
from workflow_scripts.core.task_splits import ToSplit, read_to_split, require_splits
from workflow_scripts.mil.budgets import few_shot, train_fractions
from workflow_scripts.mil.splits import (
    Cohort,
    Split,
    as_given,
    deal_folds,
    require_learnable,
    require_no_leak,
    split_columns,
)


class Settings(Section):
    task: Task
    """Kind, columns and splits of the task."""
    folds: int = Field(5, ge=2)
    """Patient-level stratified folds."""
    repeats: Count = 1
    """How often they are dealt anew."""
    train_fractions: list[float] = Field([1.0])
    """Fractions of the training patients."""
    few_shot: list[Count] = Field([])
    """Patients of each class."""
    draws: Count = 10
    """How often these few are drawn."""
    seed: int = 0
    """Seed of the deal."""
    validation_fraction: float = Field(0.0, ge=0, lt=1)
    """Fraction of a split's training patients held out as part `val`."""


def make_splits(cohort: Cohort, found: ToSplit, settings: Settings) -> list[Split]:
    """All splits of a task: whole ones, then those of smaller budgets."""
    seed, fraction = settings.seed, settings.validation_fraction
    if found.given:
        whole = as_given(cohort, found.given.splits, seed, fraction)
    else:
        whole = deal_folds(cohort, settings.folds, settings.repeats, seed, fraction)
    if settings.task.splits.leaks != "report" or not found.given:
        require_no_leak(cohort.patient_ids, whole)
    names = found.labels.group_names()
    if not found.given:
        require_learnable(cohort, whole, names, len(found.labels.needed()))
    shots = few_shot(cohort, whole, settings.few_shot, settings.draws, seed, names)
    return [*train_fractions(cohort, whole, settings.train_fractions, seed), *shots]


def facts(found: ToSplit, settings: Settings) -> dict[str, Any]:
    """What is told of the splits in their table's metadata."""
    labels, given = found.labels, found.given
    return {
        "kind": settings.task.kind,
        "level": labels.level,
        "slides_of_patient": labels.slides_of_patient,
        "classes": labels.classes,
        "counts": labels.counts(),
        "n_patients": len(set(labels.patient_ids)),
        "n_slides": len(labels.slide_ids),
        "n_excluded": sum(labels.excluded.values()),
        "excluded": labels.excluded,
        "missing": labels.missing,
        "implied": labels.implied,
        "design": given.design if given else "folds",
        "splits": [[split.repeat, split.fold, split.name] for split in given.splits] if given else [],
        "unknown": {"count": len(given.unknown), "first": given.unknown[:5]} if given else {"count": 0, "first": []},
        "leaks": {"policy": settings.task.splits.leaks, "splits": [leak.counts() for leak in found.leaks]},
        "settings": settings.model_dump(mode="json"),
    }


def main(argv: list[str] | None = None) -> None:
    parser = entry_parser(__doc__)
    parser.add_argument("--config", type=Settings.model_validate_json, required=True, help="JSON: task, folds ...")
    parser.add_argument("--task", required=True, help="name of the task")
    parser.add_argument("--manifest", type=Path, required=True, help="slides.csv with the label columns")
    parser.add_argument("--slides", type=Path, required=True, help="slides.parquet, which says what is usable")
    parser.add_argument("--output", type=Path, required=True, help="splits.parquet")
    args = parse_entry(parser, argv)
    settings: Settings = args.config

    manifest = str(args.manifest)
    found = read_to_split(read_manifest(manifest), settings.task, manifest, usable_slides(args.slides))
    require_splits(found, settings.folds, settings.few_shot, manifest)
    labels = found.labels
    strata = np.array(labels.strata())
    by_slide = labels.level == "slide"
    cohort = Cohort(labels.slide_ids, labels.patient_ids, strata, labels.finer_values(), found.sites, by_slide)
    splits = make_splits(cohort, found, settings)
    meta = {"task": args.task, **facts(found, settings)}
    write_table(args.output, split_columns(cohort, splits), schemas.SPLITS, meta)
    _tell(meta, len(splits))


def _tell(meta: dict[str, Any], n_splits: int) -> None:
    counts, excluded = (
        ", ".join(f"{name} {count}" for name, count in meta[key].items()) for key in ("counts", "excluded")
    )
    log.info(
        "task %s: %d slides of %d patients (%s) in %d splits; left out: %s",
        *(meta[name] for name in ("task", "n_slides", "n_patients")),
        counts,
        n_splits,
        excluded,
    )
    if meta["unknown"]["count"]:
        first = first_few(meta["unknown"]["first"], 5)
        log.warning(
            "the splits list %d slides or patients that the manifest has not: %s", meta["unknown"]["count"], first
        )
    leaking = [leak for leak in meta["leaks"]["splits"] if leak["patients"] or leak["in_validation"]]
    if leaking:
        log.warning(
            "%d of %d splits have patients in two parts, up to %d in train and test; leaks: %s",
            *(len(leaking), len(meta["leaks"]["splits"]), max(leak["patients"] for leak in leaking)),
            meta["leaks"]["policy"],
        )


if __name__ == "__main__":
    run_entry(main)
