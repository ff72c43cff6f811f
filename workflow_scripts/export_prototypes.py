"""Add what finds the slides of its cohort to a model: their prototypes and vectors, and the teacher that saw them.

A clustering that has converged is handed on from round to round, so the state is that of the round that made it.
"""

from pathlib import Path

from workflow_scripts.config import PretrainRun
from workflow_scripts.core import schemas
from workflow_scripts.core.entry import entry_parser, log, parse_entry, run_entry
from workflow_scripts.core.patients import KEY, hide_patients
from workflow_scripts.core.tables import read_meta, read_table, write_table

_PATIENTS = ["slide_id", "patient_id"]


def main(argv: list[str] | None = None) -> None:
    parser = entry_parser(__doc__)
    parser.add_argument("--config", type=PretrainRun.of_step_json, required=True, help="settings, JSON")
    parser.add_argument("--prototypes", required=True, help="prototypes.parquet of the clustering last distilled")
    parser.add_argument("--states", nargs="+", required=True, help="states that rounds start from, the last one's last")
    parser.add_argument("--round", type=int, required=True, help="number of the round that starts from the last state")
    parser.add_argument("--slides", required=True, help="slides.parquet of the run's embeddings")
    parser.add_argument("--heads", nargs="*", help="tasks whose heads are asked for; those of others are removed")
    parser.add_argument("--cohort", required=True, help="slides.parquet of the cohort, which tells patients")
    parser.add_argument("--output", type=Path, required=True, help="prototypes.parquet in the model's folder")
    args = parse_entry(parser, argv)
    import torch

    from workflow_scripts.core.model_facts import DIGEST, model_digest, read_facts
    from workflow_scripts.core.model_heads import remove_other_heads
    from workflow_scripts.slpd.slide_view import save_teacher
    from workflow_scripts.slpd.state import load_teacher

    folder, meta = args.output.parent, read_meta(args.prototypes)
    of_model = {DIGEST: model_digest(folder)}
    made_in = int(meta["round"])
    state = args.states[made_in - args.round - 1]
    in_dim = read_facts(folder)["architecture"]["in_dim"]
    save_teacher(folder, load_teacher(state, args.config, in_dim, torch.device("cpu")), made_in)
    write_table(
        folder / "slides.parquet", read_table(args.slides), schemas.SLIDE_EMBEDDINGS, read_meta(args.slides) | of_model
    )
    prototypes = read_table(args.prototypes)
    slides = dict.fromkeys(prototypes["slide_id"].to_pylist())
    patient_of = {row["slide_id"]: row["patient_id"] for row in read_table(args.cohort, _PATIENTS).to_pylist()}
    hidden = hide_patients({slide: patient_of[slide] for slide in slides}, f"{of_model[DIGEST]}/prototypes")
    write_table(args.output, prototypes, schemas.PROTOTYPES, meta | of_model | {KEY: hidden})
    if args.heads is not None and (removed := remove_other_heads(folder, args.heads)):
        log.info("heads that are no longer asked for are removed: %s", ", ".join(removed))
    log.info("%d slides with prototypes of round %d", len(slides), made_in)


if __name__ == "__main__":
    run_entry(main)
