"""Fit a task's head on all labelled slides and put it into a model's folder, with its cross-validated results."""

import math
from pathlib import Path
from typing import Any

from workflow_scripts.core.entry import entry_parser, log, parse_entry, run_entry
from workflow_scripts.core.model_facts import DIGEST, model_digest
from workflow_scripts.core.patients import KEY, hide_patients
from workflow_scripts.core.tables import read_meta, read_table
from workflow_scripts.core.tasks import KINDS
from workflow_scripts.fit_head import Settings
from workflow_scripts.mil.bags import slide_vectors
from workflow_scripts.mil.fitted import class_shares, fit_on_all, save_fitted
from workflow_scripts.mil.units import make_units

WARNING = (
    "The head was fitted on all slides in trained_on, so its predictions of these say nothing of how good it is; "
    "results holds what was measured on patients that heads of the same kind had not seen."
)
_TOLD = ("metric", "headline", "value", "ci_low", "ci_high", "level", "splits", "n_patients", "n_slides")


def measured(path: Path, task: str, representation: str, head: str) -> list[dict[str, Any]]:
    """What results.parquet says of a head that learns from all training patients; numbers that are none are null."""
    names = ["task", "representation", "head", "budget", *_TOLD]
    rows = read_table(path, names).to_pylist()
    mine = [row for row in rows if [row[name] for name in names[:4]] == [task, representation, head, "all"]]
    return [
        {name: None if isinstance(row[name], float) and not math.isfinite(row[name]) else row[name] for name in _TOLD}
        for row in mine
    ]


def main(argv: list[str] | None = None) -> None:
    parser = entry_parser(__doc__)
    parser.add_argument("--config", type=Settings.model_validate_json, required=True, help="JSON: the head, and seed")
    parser.add_argument("--labels", type=Path, required=True, help="labels.parquet of the task")
    parser.add_argument("--splits", type=Path, required=True, help="splits.parquet of the task")
    parser.add_argument("--results", type=Path, required=True, help="results.parquet of the benchmark")
    parser.add_argument("--embeddings", type=Path, required=True, help="slides.parquet of the run's embeddings")
    parser.add_argument("--run", required=True, help="name of the run")
    parser.add_argument("--output", type=Path, required=True, help="{task}.safetensors; {task}.json goes beside it")
    args = parse_entry(parser, argv)
    labels, facts = read_table(args.labels), read_meta(args.splits)
    slide_ids, ((head, settings),) = labels["slide_id"].to_pylist(), args.config.heads.items()
    patient_ids, digest = labels["patient_id"].to_pylist(), model_digest(args.output.parent.parent)
    vectors = slide_vectors(slide_ids, read_table(args.embeddings), str(args.embeddings.parent))
    by_patient, kind = facts["slides_of_patient"] == "bag", facts["kind"]
    units = make_units(
        labels, KINDS[kind], facts["classes"], by_patient, vectors, list(vectors[:, None]), facts["times"]
    )
    fitted, chosen = fit_on_all(head, kind, settings, units.bags, args.config.seed)
    told = {
        **{"task": facts["task"], "kind": kind, "head": head, "classes": facts["classes"]},
        DIGEST: digest,
        "settings": settings,
        "chosen": chosen,
        "warning": WARNING,
        "trained_on": slide_ids,
        KEY: hide_patients(dict(zip(slide_ids, patient_ids, strict=True)), f"{digest}/{facts['task']}"),
        "class_shares": class_shares(units.bags),
        "n_patients": len(set(patient_ids)),
        "results": measured(args.results, facts["task"], args.run, head),
    }
    save_fitted(args.output, fitted, told)
    log.info("task %s: %s fitted on %d slides of %d patients", told["task"], head, len(slide_ids), told["n_patients"])


if __name__ == "__main__":
    run_entry(main)
