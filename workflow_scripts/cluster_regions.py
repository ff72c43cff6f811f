"""Cluster the regions of every slide into its prototypes, as the teacher sees them."""

import argparse
import time
from typing import Any

from workflow_scripts.config import PretrainRun
from workflow_scripts.core import schemas
from workflow_scripts.core.entry import entry_parser, log, parse_entry, run_entry
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.feature_digest import kept_result
from workflow_scripts.core.feature_store import add_feature_arguments
from workflow_scripts.core.gpu import lease_devices
from workflow_scripts.core.seeds import derive_seed
from workflow_scripts.core.tables import read_meta, read_table, write_table


def hand_on(args: argparse.Namespace, meta: dict[str, Any]) -> None:
    """Write the previous clustering's tables as this one's."""
    log.info("the clustering of round %d had converged: its prototypes are handed on", meta["round"])
    meta |= {"agreement": 1.0, "handed_on": True}
    outputs = [(args.prototypes, schemas.PROTOTYPES), (args.assignments, schemas.ASSIGNMENTS)]
    for source, (target, schema) in zip(args.previous, outputs, strict=True):
        write_table(target, read_table(source), schema, meta)


def main(argv: list[str] | None = None) -> None:
    parser = entry_parser(__doc__)
    parser.add_argument("--config", type=PretrainRun.of_step_json, required=True, help="settings, JSON")
    add_feature_arguments(parser)
    parser.add_argument("--state", required=True, help="state.safetensors that the round starts from")
    parser.add_argument("--round", type=int, required=True, help="number of the round, from 1")
    parser.add_argument("--previous", nargs="*", default=[], help="prototypes and assignments of the clustering before")
    parser.add_argument("--threads", type=int, default=1, help="slides clustered at once")
    parser.add_argument("--code", default="", help="digest of the code, for keeping the result")
    parser.add_argument("--prototypes", required=True, help="output: prototypes.parquet")
    parser.add_argument("--assignments", required=True, help="output: assignments.parquet")
    args = parse_entry(parser, argv)
    cfg, settings = args.config, args.config.prototypes
    if args.previous and cfg.stop_agreement is not None and (meta := read_meta(args.previous[1])).get("converged"):
        return hand_on(args, meta)
    outputs = [args.prototypes, args.assignments]
    kept = kept_result(args, f"{args.round} {cfg.model_dump_json()}", [args.state, *args.previous], outputs)
    if kept.take_back():
        return
    lease_devices(args.gpu)
    from workflow_scripts.slpd.agreement import clustering_facts, tell_facts
    from workflow_scripts.slpd.explained import region_tissue, tell_tissue, tissue_facts
    from workflow_scripts.slpd.health import check_features, effective_rank
    from workflow_scripts.slpd.moving_prototypes import moving_prototypes
    from workflow_scripts.slpd.prototypes import cluster_cohort, cluster_slides, owners
    from workflow_scripts.slpd.round_tables import assignment_table, prototype_table, read_prototypes
    from workflow_scripts.slpd.session import open_session
    from workflow_scripts.slpd.state import load_teacher
    from workflow_scripts.slpd.trainer import clustered_features

    session = open_session(args, cfg.clusters_without_glass)
    store, slides, counts = session.store, session.store.slide_ids, session.store.counts
    few = int((counts < settings.min_regions).sum())
    if few == len(counts):
        raise UserError(
            f"no slide has {settings.min_regions} regions, the largest has {counts.max()}, so there are no "
            "prototypes; lower prototypes.min_regions of the run, or leave the run out"
        )
    teacher = load_teacher(args.state, cfg, store.dim, session.device)
    features, clustered = clustered_features(cfg, teacher, session.data)
    check_features(clustered, f"round {args.round}", args.state)
    began = time.perf_counter()
    tissue, seed = region_tissue(store.tissue, store.read_ok), derive_seed(cfg.seed, "round", args.round)
    cluster = cluster_cohort if settings.level == "global" else cluster_slides
    found = cluster(clustered.numpy(), slides, counts, settings, seed, args.threads, tissue)
    log.info(
        "clustered %d of %d slides in %.2f s; %d have fewer than %d regions and get L_self alone",
        *(len(counts) - few, len(counts), time.perf_counter() - began, few, settings.min_regions),
    )
    ids, owner = owners(settings.level, slides, store.slide_index)
    previous = [read_table(path) for path in args.previous]
    before = read_prototypes(previous[0], previous[1], ids, store.region_ids) if previous else None
    if before is not None and settings.momentum:
        bottleneck = settings.features == "bottleneck"
        found = moving_prototypes(found, before, clustered.numpy(), owner, settings.momentum, bottleneck)
    facts = {"round": args.round, "handed_on": False, "feature_rank": effective_rank(features)}
    facts |= clustering_facts(owner, found, before, cfg.stop_agreement)
    tell_facts(facts)
    facts |= tissue_facts(tissue, store.slide_index, found.assignment)
    tell_tissue(facts, hidden=cfg.clusters_without_glass)
    write_table(args.prototypes, prototype_table(found, ids, owner), schemas.PROTOTYPES, facts)
    rows = assignment_table(found, session.region_slides, store.region_ids)
    write_table(args.assignments, rows, schemas.ASSIGNMENTS, facts)
    kept.keep()


if __name__ == "__main__":
    run_entry(main)
