"""Embed slides as the set of their prototypes, and as the concatenation of the set in an order all slides share."""

from pathlib import Path

import numpy as np

from workflow_scripts.core.embeddings import SEEN, save_embeddings
from workflow_scripts.core.entry import entry_parser, log, parse_entry, run_entry
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.tables import read_meta, read_table
from workflow_scripts.core.vectors import vectors_of
from workflow_scripts.representations.prototype_sets import canonical_order, prototype_means

_ASSIGNED = ["slide_id", "region_id", "prototype"]


def main(argv: list[str] | None = None) -> None:
    parser = entry_parser(__doc__)
    parser.add_argument("--regions", type=Path, required=True, help="regions.parquet of the run's embeddings")
    parser.add_argument("--assignments", nargs="+", required=True, help="assignments.parquet of its last clustering")
    parser.add_argument("--count", type=int, required=True, help="prototypes a slide")
    parser.add_argument("--regions-output", required=True, help="output: regions.parquet, a row a prototype")
    parser.add_argument("--slides-output", required=True, help="output: slides.parquet")
    args = parse_entry(parser, argv)
    regions, meta = read_table(args.regions), read_meta(args.regions)
    assigned = [row for path in args.assignments for row in read_table(path, _ASSIGNED).to_pylist()]
    key = {(row["slide_id"], row["region_id"]): row["prototype"] for row in assigned}
    owners = regions["slide_id"].to_pylist()
    slide_ids = list(dict.fromkeys(owners))
    if not {row["slide_id"] for row in assigned} <= set(slide_ids):
        raise UserError(f"{args.assignments[0]} and {args.regions} are of different slides; run embed again")
    number = {name: place for place, name in enumerate(slide_ids)}
    slide = np.array([number[name] for name in owners])
    prototype = np.array([key.get(pair, -1) for pair in zip(owners, regions["region_id"].to_pylist(), strict=True)])

    sets, there = prototype_means(vectors_of(regions), slide, prototype, len(slide_ids), args.count)
    learnt = np.array([meta["saw"] == "all" or name in set(meta["saw"]) for name in slide_ids])
    order = canonical_order(sets, np.all(there, axis=1), learnt)
    sets = np.take_along_axis(sets, order[:, :, None], axis=1).astype(np.float32)
    there = np.take_along_axis(there, order, axis=1)
    small = ~there.any(axis=1)
    there[small, 0] = True  # the mean over its regions, once
    log.info("%d slides, of which %d have too few regions for prototypes", len(slide_ids), small.sum())
    save_embeddings(
        args.regions_output,
        args.slides_output,
        sets[there],
        slide_ids,
        there.sum(axis=1),
        [f"prototype_{place}" for place in np.nonzero(there)[1]],
        meta["pretrained_on"],
        sets.reshape(len(slide_ids), -1),
        {name: meta[name] for name in SEEN},
    )


if __name__ == "__main__":
    run_entry(main)
