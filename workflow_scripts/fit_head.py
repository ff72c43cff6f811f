"""Fit one head on one representation over all folds of a task, and predict every test slide."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from workflow_scripts.config import HeadSettings, Section, Task
from workflow_scripts.core.entry import entry_parser, log, parse_entry, run_entry
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.gpu import lease_devices
from workflow_scripts.core.labels import Labels, read_labels
from workflow_scripts.core.manifest import read_manifest
from workflow_scripts.core.tables import read_meta, read_table, write_table
from workflow_scripts.mil.bags import Bags, pair_embeddings, patient_weights, target_array
from workflow_scripts.mil.crossval import fold_jobs, predict_jobs
from workflow_scripts.mil.heads import make_head
from workflow_scripts.mil.predictions import PREDICTIONS, prediction_rows


class Settings(Section):
    task: Task
    """Kind and columns of the task."""
    head_settings: HeadSettings = HeadSettings()
    """Settings of the heads."""
    seed: int = 0
    """Seed of the head."""


def _require_same(labels: Labels, splits: pa.Table, source: Path, manifest: Path) -> None:
    """Refuse splits that were dealt from other labels or patients than the manifest's."""
    dealt = set(zip(splits["slide_id"].to_pylist(), splits["patient_id"].to_pylist(), strict=True))
    if dealt != set(zip(labels.slide_ids, labels.patient_ids, strict=True)):
        raise UserError(f"{source} lists other labelled slides or patients than {manifest}; run split_patients again")


def _parts(splits: pa.Table, slide_ids: list[str]) -> np.ndarray:
    """Part of each slide in each fold of the first repeat, all training patients used, str `[K, S]`."""
    first = [row for row in splits.to_pylist() if row["repeat"] == 0 and row["budget"] == "all"]
    part_of = {(row["fold"], row["slide_id"]): row["part"] for row in first}
    folds = sorted({fold for fold, _ in part_of})
    return np.array([[part_of.get((fold, name), "") for name in slide_ids] for fold in folds])


def _bags(folder: Path, labels: Labels) -> Bags:
    slides, regions = (read_table(folder / f"{name}.parquet") for name in ("slides", "regions"))
    vectors, matrices = pair_embeddings(labels.slide_ids, slides, regions, source=str(folder))
    target = target_array(labels.kind, labels.values, labels.classes)
    weights = patient_weights(labels.patient_ids)
    return Bags(vectors, matrices, target, len(labels.classes), weights, labels.patient_ids)


def main(argv: list[str] | None = None) -> None:
    parser = entry_parser(__doc__)
    parser.add_argument("--config", type=Settings.model_validate_json, required=True, help="JSON: task, seed")
    parser.add_argument("--task", required=True, help="name of the task")
    parser.add_argument("--head", required=True, help="name of the head")
    parser.add_argument("--manifest", type=Path, required=True, help="slides.csv with the label columns")
    parser.add_argument("--splits", type=Path, required=True, help="splits.parquet of the task")
    parser.add_argument("--embeddings", type=Path, required=True, help="folder with slides.parquet and regions.parquet")
    parser.add_argument("--output", type=Path, required=True, help="predictions.parquet")
    parser.add_argument("--gpu", type=int, default=0, help="GPUs granted to this job; 0 runs on the CPU")
    args = parse_entry(parser, argv)
    own = args.config.head_settings.of(args.head)
    make_head(args.head, args.config.task.kind, own)  # a wrong name ends here, before any work
    lease_devices(args.gpu)

    facts, splits = read_meta(args.splits), read_table(args.splits)
    split_slides = list(dict.fromkeys(splits["slide_id"].to_pylist()))
    task = args.config.task.model_copy(update={"classes": facts["classes"] or None, "other_classes": "leave_out"})
    labels = read_labels(read_manifest(args.manifest), task, str(args.manifest), split_slides)
    _require_same(labels, splits, args.splits, args.manifest)
    bags = _bags(args.embeddings, labels)
    jobs = fold_jobs(args.head, _parts(splits, labels.slide_ids), args.config.seed)
    predictions, _ = predict_jobs(args.head, task.kind, bags, jobs, own)
    rows = prediction_rows(labels, [(job.test, values) for job, values in zip(jobs, predictions, strict=True)])
    meta = {
        "task": args.task,
        "kind": task.kind,
        "head": args.head,
        "representation": args.embeddings.name,
        "classes": labels.classes,
        "pretrained_on": read_meta(args.embeddings / "slides.parquet").get("pretrained_on", ""),
        "n_excluded": facts["n_excluded"],
        "excluded": facts["excluded"],
        "settings": args.config.model_dump(mode="json"),
    }
    write_table(args.output, rows, PREDICTIONS, meta)
    log.info("task %s, head %s on %s: %d predictions", args.task, args.head, meta["representation"], len(rows))


if __name__ == "__main__":
    run_entry(main)
