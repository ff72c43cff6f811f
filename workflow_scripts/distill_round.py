"""Distil the round's prototypes into the student for a number of epochs."""

from workflow_scripts.config import PretrainRun
from workflow_scripts.core.entry import entry_parser, parse_entry, run_entry
from workflow_scripts.core.feature_store import add_feature_arguments
from workflow_scripts.core.gpu import lease_devices
from workflow_scripts.core.tables import read_table


def main(argv: list[str] | None = None) -> None:
    parser = entry_parser(__doc__)
    parser.add_argument("--config", type=PretrainRun.model_validate_json, required=True, help="settings, JSON")
    add_feature_arguments(parser)
    parser.add_argument("--start", required=True, help="state.safetensors that the round starts from")
    parser.add_argument("--tables", nargs="*", default=[], help="prototypes, assignments and neighbours, or none")
    parser.add_argument("--code", default="", help="digest of the code, for resuming")
    parser.add_argument("--state", required=True, help="output: state.safetensors")
    parser.add_argument("--metrics", required=True, help="output: metrics.parquet")
    parser.add_argument("--scratch", required=True, help="folder of the resumable state")
    args = parse_entry(parser, argv)
    lease_devices(args.gpu)
    from workflow_scripts.slpd.progress import ScratchState, fingerprint, save_training, train
    from workflow_scripts.slpd.round_tables import read_neighbours, read_prototypes
    from workflow_scripts.slpd.session import open_session
    from workflow_scripts.slpd.state import load_state
    from workflow_scripts.slpd.trainer import PrototypeTargets, Trainer

    cfg, session = args.config, open_session(args)
    store, device = session.store, session.device
    start, _ = load_state(args.start, cfg, store.dim, device)
    until = start.epoch + cfg.epochs_per_round
    inputs = [*session.sources, args.start, *args.tables]
    scratch = ScratchState(args.scratch, fingerprint(args.code, cfg, inputs))
    state, rows = scratch.load(cfg, store.dim, device) or (start, [])
    targets = None
    if args.tables:
        prototype_rows, assignment_rows, neighbour_rows = map(read_table, args.tables)
        prototypes = read_prototypes(prototype_rows, assignment_rows, store.slide_ids, store.region_ids)
        neighbours = read_neighbours(neighbour_rows, store.slide_ids, prototypes.vectors.shape[1])
        targets = PrototypeTargets(prototypes, neighbours, store.slide_index, device)
    rows = train(Trainer(cfg, session.data), state, until, targets, scratch, rows)
    save_training(state, rows, args.state, args.metrics)
    scratch.clear()


if __name__ == "__main__":
    run_entry(main)
