"""Cluster the regions of every slide into its prototypes, as the teacher sees them."""

import time

from workflow_scripts.config import PretrainRun
from workflow_scripts.core import schemas
from workflow_scripts.core.entry import entry_parser, log, parse_entry, run_entry
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.feature_store import add_feature_arguments
from workflow_scripts.core.gpu import lease_devices
from workflow_scripts.core.seeds import derive_seed
from workflow_scripts.core.tables import write_table


def main(argv: list[str] | None = None) -> None:
    parser = entry_parser(__doc__)
    parser.add_argument("--config", type=PretrainRun.model_validate_json, required=True, help="settings, JSON")
    add_feature_arguments(parser)
    parser.add_argument("--state", required=True, help="state.safetensors that the round starts from")
    parser.add_argument("--round", type=int, required=True, help="number of the round, from 1")
    parser.add_argument("--threads", type=int, default=1, help="slides clustered at once")
    parser.add_argument("--prototypes", required=True, help="output: prototypes.parquet")
    parser.add_argument("--assignments", required=True, help="output: assignments.parquet")
    args = parse_entry(parser, argv)
    lease_devices(args.gpu)
    from workflow_scripts.slpd.crops import centre_window, window_indices
    from workflow_scripts.slpd.prototypes import cluster_slides
    from workflow_scripts.slpd.round_tables import assignment_table, prototype_table
    from workflow_scripts.slpd.session import open_session
    from workflow_scripts.slpd.state import load_state
    from workflow_scripts.slpd.trainer import embed_regions

    cfg, session = args.config, open_session(args)
    store, grid = session.store, session.store.grid
    state, _ = load_state(args.state, cfg, store.dim, session.device)
    centre = cfg.prototypes.view == "centre"
    window = centre_window(grid, cfg.crops.global_size) if centre else window_indices(grid, grid)[0]
    _, projected = embed_regions(state.teacher, session.data, window)
    began = time.perf_counter()
    seed = derive_seed(cfg.seed, "round", args.round)
    found = cluster_slides(projected.numpy(), store.slide_ids, store.counts, cfg.prototypes, seed, args.threads)
    log.info(
        "clustered %d of %d slides in %.2f s; %d have fewer than %d regions and get L_self alone",
        *(found.valid.sum(), len(found.valid), time.perf_counter() - began),
        *((~found.valid).sum(), cfg.prototypes.min_regions),
    )
    if not found.valid.any():
        raise UserError(
            f"no slide has {cfg.prototypes.min_regions} regions, the largest has {store.counts.max()}, so there are no "
            "prototypes; lower prototypes.min_regions of the run, or leave the run out"
        )
    slide_ids, regions = store.slide_ids, store.region_ids
    write_table(args.prototypes, prototype_table(found, slide_ids, store.slide_index), schemas.PROTOTYPES)
    write_table(args.assignments, assignment_table(found, session.region_slides, regions), schemas.ASSIGNMENTS)


if __name__ == "__main__":
    run_entry(main)
