"""Train student and teacher by self-distillation alone, before the first round."""

from workflow_scripts.config import PretrainRun
from workflow_scripts.core.entry import entry_parser, parse_entry, run_entry
from workflow_scripts.core.feature_store import add_feature_arguments
from workflow_scripts.core.gpu import lease_devices


def main(argv: list[str] | None = None) -> None:
    parser = entry_parser(__doc__)
    parser.add_argument("--config", type=PretrainRun.model_validate_json, required=True, help="settings, JSON")
    add_feature_arguments(parser)
    parser.add_argument("--code", default="", help="digest of the code, for resuming")
    parser.add_argument("--state", required=True, help="output: state.safetensors")
    parser.add_argument("--metrics", required=True, help="output: metrics.parquet")
    parser.add_argument("--scratch", required=True, help="folder of the resumable state")
    args = parse_entry(parser, argv)
    lease_devices(args.gpu)
    from workflow_scripts.slpd.progress import ScratchState, fingerprint, save_training, train
    from workflow_scripts.slpd.session import open_session
    from workflow_scripts.slpd.state import new_state
    from workflow_scripts.slpd.trainer import Trainer

    session = open_session(args)
    dim = session.store.dim
    scratch = ScratchState(args.scratch, fingerprint(args.code, args.config, session.sources))
    resumed = scratch.load(args.config, dim, session.device)
    state, rows = resumed or (new_state(args.config, dim, session.device), [])
    trainer = Trainer(args.config, session.data)
    rows = train(trainer, state, args.config.warmup_epochs, None, scratch, rows)
    save_training(state, rows, args.state, args.metrics)
    scratch.clear()


if __name__ == "__main__":
    run_entry(main)
