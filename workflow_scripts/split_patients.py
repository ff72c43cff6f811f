"""Deal the labelled patients of a task to splits, or read given ones, once and for all representations."""

from pathlib import Path
from typing import Any

from pydantic import Field

from workflow_scripts.config import Section, Task
from workflow_scripts.config.base import Count
from workflow_scripts.core import schemas
from workflow_scripts.core.cohorts import read_cohorts
from workflow_scripts.core.entry import entry_parser, log, parse_entry, run_entry
from workflow_scripts.core.feature_store import usable_slides
from workflow_scripts.core.tables import write_table
from workflow_scripts.core.task_splits import ToSplit, read_to_split, require_splits
from workflow_scripts.mil.dealing import Dealing, deal_task, in_words, split_facts
from workflow_scripts.mil.splits import split_columns
from workflow_scripts.mil.units import LABELS, label_columns


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

    @property
    def dealing(self) -> Dealing:
        return Dealing(**{name: getattr(self, name) for name in Dealing._fields})


def read_cohort(settings: Settings, manifest: str, test_manifest: str | None, slides: list[Path]) -> ToSplit:
    """Labels and given splits of the task, of usable slides; refused where nothing can be learnt or tested."""
    rows, tests = read_cohorts(manifest, test_manifest)
    found = read_to_split(rows, settings.task, manifest, usable_slides(*slides), tests, test_manifest)
    require_splits(found, settings.folds, settings.few_shot, manifest)
    return found


def main(argv: list[str] | None = None) -> None:
    parser = entry_parser(__doc__)
    parser.add_argument("--config", type=Settings.model_validate_json, required=True, help="JSON: task, folds ...")
    parser.add_argument("--task", required=True, help="name of the task")
    parser.add_argument("--manifest", type=Path, required=True, help="slides.csv with the label columns")
    parser.add_argument("--test-manifest", nargs="?", help="the same of the test cohort, where the task tests it")
    parser.add_argument("--slides", type=Path, nargs="+", required=True, help="slides.parquet of each: what is usable")
    parser.add_argument("--labels", type=Path, required=True, help="output: labels.parquet")
    parser.add_argument("--output", type=Path, required=True, help="splits.parquet")
    args = parse_entry(parser, argv)
    settings, task = args.config, args.config.task

    found = read_cohort(settings, str(args.manifest), args.test_manifest, args.slides)
    found, cohort, splits = deal_task(found, settings.dealing, task.splits.leaks, task.permuted)
    facts = {"task": args.task, "kind": task.kind, **split_facts(found, splits, task.splits.leaks)}
    facts |= {"family": task.family or args.task, "splits_in_words": in_words(found, task.splits, settings.dealing)}
    meta = facts | {"settings": settings.model_dump(mode="json")}
    write_table(args.labels, label_columns(found.labels), LABELS, {"task": args.task})
    write_table(args.output, split_columns(cohort, splits), schemas.SPLITS, meta)
    _tell(facts, len(splits), found.notes())


def _tell(facts: dict[str, Any], n_splits: int, notes: list[str]) -> None:
    counts, excluded = (
        ", ".join(f"{name} {count}" for name, count in facts[key].items()) for key in ("counts", "excluded")
    )
    told = (*(facts[name] for name in ("task", "n_slides", "n_patients")), counts, n_splits, excluded)
    log.info("task %s: %d slides of %d patients (%s) in %d splits; left out: %s", *told)
    leaks = facts["leaks"]
    for note in notes:
        log.warning("%s", note)
    leaking = [leak for leak in leaks["splits"] if leak["patients"] or leak["in_validation"]]
    if leaking:
        most = max(leak["patients"] for leak in leaking)
        log.warning(
            "%d of %d splits have patients in two parts, up to %d in train and test; leaks: %s",
            *(len(leaking), len(leaks["splits"]), most, leaks["policy"]),
        )


if __name__ == "__main__":
    run_entry(main)
