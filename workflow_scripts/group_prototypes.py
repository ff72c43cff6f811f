"""Put the prototypes of all slides into groups, and compare the groups with those of the clustering before."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from workflow_scripts.config import Section
from workflow_scripts.core import schemas
from workflow_scripts.core.entry import entry_parser, log, parse_entry, run_entry
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.region_groups import in_order, join_groups
from workflow_scripts.core.tables import read_meta, read_table, write_table
from workflow_scripts.core.vectors import vectors_of

_OTHER_SEEDS = 3


class Settings(Section):
    groups: int
    """Groups that are wanted."""
    seed: int = 0
    """Seed of the grouping."""


def group_table(prototypes: pa.Table, count: int, seed: int) -> tuple[pa.Table, np.ndarray]:
    """Rows of `schemas.GROUPS` of the rows of `schemas.PROTOTYPES`, and the centres float32 `[G, d]`."""
    from workflow_scripts.slpd.groups import group_prototypes

    found = group_prototypes(vectors_of(prototypes), prototypes["n_regions"].to_numpy(), count, seed)
    table = prototypes.select(["slide_id", "prototype", "n_regions"])
    table = table.append_column("group", pa.array(found.group.astype(np.int32)))
    return table.append_column("similarity", pa.array(found.similarity)), found.centres


def main(argv: list[str] | None = None) -> None:
    parser = entry_parser(__doc__)
    parser.add_argument("--config", type=Settings.model_validate_json, required=True, help="JSON: groups, seed")
    parser.add_argument("--tables", type=Path, nargs=2, required=True, help="prototypes and assignments, of the last")
    parser.add_argument("--before", type=Path, nargs="*", default=[], help="and of the clustering before it")
    parser.add_argument("--output", type=Path, required=True, help="groups.parquet")
    args = parse_entry(parser, argv)
    from workflow_scripts.slpd.groups import agreement

    count, seed = args.config.groups, args.config.seed
    prototypes, assignments = (read_table(path) for path in args.tables)
    if not len(prototypes):
        raise UserError(
            f"{args.tables[0]} has no prototypes, so there is nothing to group; run the stage pretrain again"
        )
    regions = assignments["region_id"].to_pylist()
    table, centres = group_table(prototypes, count, seed)
    own = join_groups(assignments, table)["group"].to_numpy().astype(np.int64)
    others = [
        join_groups(assignments, group_table(prototypes, count, seed + number)[0])["group"].to_numpy().astype(np.int64)
        for number in range(1, 1 + _OTHER_SEEDS)
    ]
    facts = read_meta(args.tables[0])
    meta = {"round": facts.get("round"), "handed_on": facts.get("handed_on", False), "wanted": count, "seed": seed}
    meta |= {"groups": len(centres), "centres": centres.tolist(), "before": None}
    meta["other_seeds"] = [agreement(own, other)[0] for other in others]
    if args.before:
        earlier, before = (read_table(path) for path in args.before)
        index, n_regions = agreement(own, in_order(join_groups(before, group_table(earlier, count, seed)[0]), regions))
        meta["before"] = {"round": read_meta(args.before[0]).get("round"), "ari": index, "n_regions": n_regions}
        log.info(
            "adjusted Rand index of the groups of %d regions with those of the clustering before: %.3f",
            n_regions,
            index,
        )
    log.info("%d prototypes of %d regions in %d groups", len(prototypes), len(assignments), len(centres))
    write_table(args.output, table, schemas.GROUPS, meta)


if __name__ == "__main__":
    run_entry(main)
