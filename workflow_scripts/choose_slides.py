"""Choose the slides that a run may be pretrained on: those of the patients that one fold of a task learns from."""

from pathlib import Path

from workflow_scripts.core import schemas
from workflow_scripts.core.entry import entry_parser, log, parse_entry, run_entry
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.tables import read_meta, read_table, write_table


def main(argv: list[str] | None = None) -> None:
    parser = entry_parser(__doc__)
    parser.add_argument("--slides", type=Path, required=True, help="slides.parquet of the cohort")
    parser.add_argument("--splits", type=Path, required=True, help="splits.parquet of the task")
    parser.add_argument("--fold", type=int, required=True, help="fold of its first repeat")
    parser.add_argument("--output", type=Path, required=True, help="rows of slides.parquet")
    args = parse_entry(parser, argv)
    task = read_meta(args.splits)["task"]
    splits = read_table(args.splits).to_pylist()
    fold = [row for row in splits if (row["budget"], row["repeat"], row["fold"]) == ("all", 0, args.fold)]
    tested = {row["patient_id"] for row in fold if row["part"] == "test"}
    learnt = {row["patient_id"] for row in fold} - tested
    slides = read_table(args.slides).to_pylist()
    # by patient, so that a slide without a label is no way for a tested patient into the training
    rows = [row for row in slides if row["patient_id"] in learnt]
    usable = sum(row["status"] == "ok" for row in rows)
    if not usable:
        raise UserError(
            f"fold {args.fold} of task {task} has no training patient with a usable slide in {args.slides}, so nothing "
            "can be pretrained on it; drop train_only from the run, or name another task"
        )
    log.info(
        "%d of %d slides, of the %d patients that fold %d of task %s learns from",
        *(usable, sum(row["status"] == "ok" for row in slides), len(learnt), args.fold, task),
    )
    write_table(args.output, rows, schemas.SLIDES, {"task": task, "fold": args.fold})


if __name__ == "__main__":
    run_entry(main)
