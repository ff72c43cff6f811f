"""Train student and teacher by self-distillation alone, before the first round."""

from workflow_scripts.core.entry import entry_parser, log, parse_entry, run_entry
from workflow_scripts.core.feature_digest import kept_result
from workflow_scripts.core.gpu import lease_devices
from workflow_scripts.core.launch import run_workers
from workflow_scripts.slpd.arguments import add_training_arguments


def main(argv: list[str] | None = None) -> None:
    parser = entry_parser(__doc__)
    add_training_arguments(parser)
    args = parse_entry(parser, argv)
    start = args.config.init
    kept = kept_result(args, args.config.model_dump_json(), [start] if start else [], [args.state, args.metrics])
    if kept.take_back() or run_workers("workflow_scripts.warm_up", argv, len(lease_devices(args.gpu))):
        return
    from workflow_scripts.slpd.determinism import make_deterministic
    from workflow_scripts.slpd.progress import ScratchState, finish, train
    from workflow_scripts.slpd.session import open_session
    from workflow_scripts.slpd.starting_point import load_start
    from workflow_scripts.slpd.state import new_state
    from workflow_scripts.slpd.trainer import Trainer

    make_deterministic(args.deterministic == "true")
    session = open_session(args, args.config.mask_glass, args.config.crops.min_tissue > 0)
    dim = session.store.dim
    scratch = ScratchState(args.scratch, kept.made_of)
    state, rows = scratch.load(args.config, dim, session.device) or (None, [])
    if state is None:
        state = new_state(args.config, dim, session.device)
        if start:
            log.info(load_start(start, state.student, state.teacher))
    session.require_same_step(state.step, args.scratch)
    trainer = Trainer(args.config, session.data, session.workers, args.micro_batch or None, args.compile)
    rows = train(trainer, state, args.config.warmup_epochs, None, scratch, rows, session.spent)
    if session.workers.rank == 0:
        finish(trainer, state, None, rows, session.spent, args.state, args.metrics)
        scratch.clear()
        kept.keep()


if __name__ == "__main__":
    run_entry(main)
