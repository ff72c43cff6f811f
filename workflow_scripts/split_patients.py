"""Deal the labelled patients of a task to stratified folds, once and for all representations."""

from pathlib import Path

import numpy as np
from pydantic import Field

from workflow_scripts.config import Section, Task
from workflow_scripts.config.base import Count
from workflow_scripts.core import schemas
from workflow_scripts.core.entry import entry_parser, log, parse_entry, run_entry
from workflow_scripts.core.feature_store import usable_slides
from workflow_scripts.core.labels import read_labels, require_patients
from workflow_scripts.core.manifest import read_manifest
from workflow_scripts.core.tables import write_table
from workflow_scripts.mil.splits import Cohort, deal_folds, require_no_leak, split_columns


class Settings(Section):
    task: Task
    """Kind and columns of the task."""
    folds: int = Field(5, ge=2)
    """Patient-level stratified folds."""
    repeats: Count = 1
    """How often they are dealt anew."""
    seed: int = 0
    """Seed of the deal."""
    validation_fraction: float = Field(0.0, ge=0, lt=1)
    """Fraction of a fold's training patients held out as part `val`."""


def main(argv: list[str] | None = None) -> None:
    parser = entry_parser(__doc__)
    parser.add_argument(
        "--config", type=Settings.model_validate_json, required=True, help="JSON: task, folds, seed ..."
    )
    parser.add_argument("--task", required=True, help="name of the task")
    parser.add_argument("--manifest", type=Path, required=True, help="slides.csv with the label columns")
    parser.add_argument("--slides", type=Path, required=True, help="slides.parquet, which says what is usable")
    parser.add_argument("--output", type=Path, required=True, help="splits.parquet")
    args = parse_entry(parser, argv)
    settings, task = args.config, args.config.task

    labels = read_labels(read_manifest(args.manifest), task, str(args.manifest), usable_slides(args.slides))
    require_patients(labels, settings.folds, str(args.manifest))
    cohort = Cohort(labels.slide_ids, labels.patient_ids, np.array(labels.strata()), labels.finer_values())
    splits = deal_folds(cohort, settings.folds, settings.repeats, settings.seed, settings.validation_fraction)
    require_no_leak(cohort.patient_ids, splits)
    meta = {
        "task": args.task,
        "kind": task.kind,
        "classes": labels.classes,
        "counts": labels.counts(),  # patients
        "n_patients": len(set(labels.patient_ids)),
        "n_slides": len(labels.slide_ids),
        "n_excluded": sum(labels.excluded.values()),
        "excluded": labels.excluded,
        "settings": settings.model_dump(mode="json"),
    }
    write_table(args.output, split_columns(cohort, splits), schemas.SPLITS, meta)
    log.info(
        "task %s: %d slides of %d patients (%s) in %d folds, dealt %d times; left out: %s",
        args.task,
        meta["n_slides"],
        meta["n_patients"],
        ", ".join(f"{name} {count}" for name, count in meta["counts"].items()),
        settings.folds,
        settings.repeats,
        ", ".join(f"{reason} {count}" for reason, count in labels.excluded.items()),
    )


if __name__ == "__main__":
    run_entry(main)
