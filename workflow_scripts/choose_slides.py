"""Choose the slides that a run may be pretrained on: those of the patients that one fold of a task learns from.

The folds are dealt here as split_patients deals them, and not read from its table: that is written again for other
budgets, and pretraining must not follow.
"""

from pathlib import Path

import numpy as np

from workflow_scripts.core import schemas
from workflow_scripts.core.entry import entry_parser, log, parse_entry, run_entry
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.tables import read_table, write_table
from workflow_scripts.mil.dealing import deal_task
from workflow_scripts.split_patients import Settings, read_cohort


def main(argv: list[str] | None = None) -> None:
    parser = entry_parser(__doc__)
    parser.add_argument("--config", type=Settings.model_validate_json, required=True, help="JSON: task, folds ...")
    parser.add_argument("--task", required=True, help="name of the task")
    parser.add_argument("--manifest", required=True, help="slides.csv with the label columns")
    parser.add_argument("--slides", type=Path, required=True, help="slides.parquet of the cohort")
    parser.add_argument("--fold", type=int, required=True, help="fold of the first repeat")
    parser.add_argument("--output", type=Path, required=True, help="rows of slides.parquet")
    args = parse_entry(parser, argv)
    settings = args.config

    found = read_cohort(settings, args.manifest, None, [args.slides])
    _, cohort, splits = deal_task(found, settings.dealing, settings.task.splits.leaks, settings.task.permuted)
    parts = next(split.parts for split in splits if (split.repeat, split.fold) == (0, args.fold))
    patients = np.array(cohort.patient_ids)
    learnt = {*patients[np.isin(parts, ["train", "val"])].tolist()} - {*patients[parts == "test"].tolist()}

    slides = read_table(args.slides).to_pylist()
    # by patient, so that a slide without a label is no way for a tested patient into the training
    rows = [row for row in slides if row["patient_id"] in learnt]
    usable = [sum(row["status"] == "ok" for row in some) for some in (rows, slides)]
    if not usable[0]:
        raise UserError(
            f"every patient that fold {args.fold} of task {args.task} learns from is tested in it, so nothing can be "
            "pretrained on; set splits.leaks, or drop train_only from the run"
        )
    log.info(
        "%d of %d slides, of the %d patients that fold %d of task %s learns from",
        *(*usable, len(learnt), args.fold, args.task),
    )
    write_table(args.output, rows, schemas.SLIDES, {"task": args.task, "fold": args.fold})


if __name__ == "__main__":
    run_entry(main)
