"""Distil the round's prototypes into the student for a number of epochs."""

import argparse
import shutil
from pathlib import Path

from workflow_scripts.core import schemas
from workflow_scripts.core.entry import entry_parser, log, parse_entry, run_entry
from workflow_scripts.core.feature_digest import kept_result
from workflow_scripts.core.files import whole_file
from workflow_scripts.core.gpu import lease_devices
from workflow_scripts.core.launch import run_workers
from workflow_scripts.core.tables import read_meta, read_table, write_table
from workflow_scripts.slpd.arguments import add_training_arguments


def hand_on(args: argparse.Namespace) -> None:
    """Write the state that the round starts from as its result, without a step of training.

    A copy and no hard link: a link shares its file time with the state before, and Snakemake would take one of the
    two for older than what it was made from.
    """
    log.info("the clustering has converged: no training, the state of the round before is handed on")
    with whole_file(args.state) as partial:
        shutil.copyfile(args.start, partial)
    write_table(args.metrics, [], schemas.METRICS)
    shutil.rmtree(args.scratch, ignore_errors=True)
    Path(args.metrics).with_name(schemas.SPEED_FILE).unlink(missing_ok=True)  # of an earlier training


def main(argv: list[str] | None = None) -> None:
    parser = entry_parser(__doc__)
    add_training_arguments(parser)
    parser.add_argument("--start", required=True, help="state.safetensors that the round starts from")
    parser.add_argument("--tables", nargs="*", default=[], help="prototypes, assignments and neighbours, or none")
    args = parse_entry(parser, argv)
    if args.tables and read_meta(args.tables[1]).get("converged"):
        return hand_on(args)
    kept = kept_result(args, args.config.model_dump_json(), [args.start, *args.tables], [args.state, args.metrics])
    if kept.take_back() or run_workers("workflow_scripts.distill_round", argv, len(lease_devices(args.gpu))):
        return
    from workflow_scripts.slpd.determinism import make_deterministic
    from workflow_scripts.slpd.progress import ScratchState, finish, train
    from workflow_scripts.slpd.prototypes import owners
    from workflow_scripts.slpd.round_tables import read_neighbours, read_prototypes
    from workflow_scripts.slpd.session import open_session
    from workflow_scripts.slpd.soft_shares import soft_shares
    from workflow_scripts.slpd.state import load_state, saved_progress
    from workflow_scripts.slpd.targets import PrototypeTargets
    from workflow_scripts.slpd.trainer import Trainer

    make_deterministic(args.deterministic == "true")
    cfg, session = args.config, open_session(args, args.config.mask_glass, args.config.crops.min_tissue > 0)
    store, device, until = session.store, session.device, saved_progress(args.start)[0] + cfg.epochs_per_round
    scratch, targets = ScratchState(args.scratch, kept.made_of), None
    state, rows = scratch.load(cfg, store.dim, device) or (load_state(args.start, cfg, store.dim, device)[0], [])
    if args.tables:
        prototype_rows, assignment_rows, near = map(read_table, args.tables)
        ids, owner = owners(cfg.prototypes.level, store.slide_ids, store.slide_index)
        found = read_prototypes(prototype_rows, assignment_rows, ids, store.region_ids)
        options = cfg.loss.neighbour_temp, soft_shares(cfg, args.start, session, found, owner)
        targets = PrototypeTargets(found, read_neighbours(near, ids, found.vectors.shape[1]), owner, device, *options)
    session.require_same_step(state.step, args.scratch)
    trainer = Trainer(cfg, session.data, session.workers, args.micro_batch or None, args.compile)
    rows = train(trainer, state, until, targets, scratch, rows, session.spent)
    if session.workers.rank == 0:
        finish(trainer, state, targets, rows, session.spent, args.state, args.metrics)
        scratch.clear()
        kept.keep()


if __name__ == "__main__":
    run_entry(main)
