"""Embed slides as the set of their prototypes, and as the concatenation of the set in an order all slides share."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from workflow_scripts.config import Prototypes, Section
from workflow_scripts.core.embeddings import SEEN, save_embeddings, seen_facts
from workflow_scripts.core.entry import entry_parser, log, parse_entry, run_entry
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.tables import read_meta, read_table
from workflow_scripts.core.vectors import vectors_of
from workflow_scripts.representations.prototype_sets import canonical_order, prototype_means
from workflow_scripts.slpd.prototypes import cluster_slides

_ORDERED = "; prototypes put in order by {} slides of the cohort, no labels"
_ASSIGNED = ["slide_id", "region_id", "prototype"]


class Settings(Section):
    count: int
    """Prototypes a slide."""
    cluster: dict[str, Any] | None = None
    """Settings of the k-means by which prototypes are found where no clustering is given."""
    seed: int = 0


def _assigned(tables: list[str], regions: pa.Table, slide_ids: list[str]) -> np.ndarray:
    """Prototype of each region by the tables of a clustering, int64 `[N]`, -1 for none."""
    rows = [row for path in tables for row in read_table(path, _ASSIGNED).to_pylist()]
    if not {row["slide_id"] for row in rows} <= set(slide_ids):
        raise UserError(f"{tables[0]} and the embeddings are of different slides; run embed again")
    known = {(row["slide_id"], row["region_id"]): row["prototype"] for row in rows}
    pairs = zip(regions["slide_id"].to_pylist(), regions["region_id"].to_pylist(), strict=True)
    return np.array([known.get(pair, -1) for pair in pairs], dtype=np.int64)


def _clustered(vectors: np.ndarray, slide_ids: list[str], slide: np.ndarray, settings: Settings) -> np.ndarray:
    """The same by k-means of each slide's own regions, whose vectors have unit length as backbone features have."""
    chosen = Prototypes.model_validate({**(settings.cluster or {}), "features": "backbone"})
    counts = np.bincount(slide, minlength=len(slide_ids))
    return cluster_slides(vectors, slide_ids, counts, chosen, settings.seed).assignment


def _seen_by_order(meta: dict[str, Any], cohort: Path, slide_ids: list[str]) -> dict[str, Any]:
    """What pretraining saw; where there was none, the slides of the cohort, by which prototypes are put in order.

    Those of a test cohort are not among them.
    """
    if meta["saw"] != "none":
        return {name: meta[name] for name in SEEN}
    return seen_facts(set(read_table(cohort)["slide_id"].to_pylist()) & set(slide_ids), slide_ids)


def main(argv: list[str] | None = None) -> None:
    parser = entry_parser(__doc__)
    parser.add_argument("--config", type=Settings.model_validate_json, required=True, help="JSON: count, cluster, seed")
    parser.add_argument("--regions", type=Path, required=True, help="regions.parquet of the representation")
    parser.add_argument("--cohort", type=Path, required=True, help="slides.parquet of the cohort")
    parser.add_argument("--assignments", nargs="*", default=[], help="assignments.parquet of a run's last clustering")
    parser.add_argument("--regions-output", required=True, help="output: regions.parquet, a row a prototype")
    parser.add_argument("--slides-output", required=True, help="output: slides.parquet")
    args = parse_entry(parser, argv)
    regions, meta = read_table(args.regions), read_meta(args.regions)
    owners = regions["slide_id"].to_pylist()
    slide_ids = list(dict.fromkeys(owners))
    number = {name: place for place, name in enumerate(slide_ids)}
    slide, vectors = np.array([number[name] for name in owners]), vectors_of(regions)
    if args.config.cluster:
        prototype = _clustered(vectors, slide_ids, slide, args.config)
        seen = _seen_by_order(meta, args.cohort, slide_ids)
    else:
        prototype, seen = _assigned(args.assignments, regions, slide_ids), {name: meta[name] for name in SEEN}

    sets, there = prototype_means(vectors, slide, prototype, len(slide_ids), args.config.count)
    learnt = np.array([seen["saw"] == "all" or name in set(seen["saw"]) for name in slide_ids])
    order = canonical_order(sets, np.all(there, axis=1), learnt)
    sets = np.take_along_axis(sets, order[:, :, None], axis=1).astype(np.float32)
    there = np.take_along_axis(there, order, axis=1)
    small = ~there.any(axis=1)
    there[small, 0] = True  # the mean over its regions, once
    log.info("%d slides, of which %d have too few regions for prototypes", len(slide_ids), small.sum())
    told = meta["pretrained_on"] + ("" if seen["saw"] == meta["saw"] else _ORDERED.format(seen["n_saw"]))
    region_ids = [f"prototype_{place}" for place in np.nonzero(there)[1]]
    rows = (sets[there], slide_ids, there.sum(axis=1), region_ids, told, sets.reshape(len(slide_ids), -1), seen)
    save_embeddings(args.regions_output, args.slides_output, *rows)


if __name__ == "__main__":
    run_entry(main)
