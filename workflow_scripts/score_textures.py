"""Compare each slide's prototypes, and their groups in the whole cohort, with planted or annotated tissue classes."""

from pathlib import Path
from typing import Any

import numpy as np

from workflow_scripts.config import Section
from workflow_scripts.core import schemas
from workflow_scripts.core.entry import entry_parser, log, parse_entry, run_entry
from workflow_scripts.core.region_groups import in_order, read_region_groups
from workflow_scripts.core.seeds import derive_seed
from workflow_scripts.core.tables import read_table, write_table
from workflow_scripts.core.truth_files import known_maps, map_of_slides
from workflow_scripts.core.truth_map import region_classes
from workflow_scripts.mil.agreement import cohort_agreement, prototype_agreement


class Settings(Section):
    region_truth: str
    """Folder of maps of the true classes (`core/truth_map.py`)."""
    seed: int = 0
    """Seed of the random baseline."""


def _mean(rows: list[dict[str, Any]], key: str) -> float:
    return float(np.mean([row[key] for row in rows])) if rows else float("nan")


def _tell(rows: list[dict[str, Any]], meta: dict[str, Any]) -> None:
    mixed = [row for row in rows if row["n_classes"] >= 2]
    log.info(
        "%d slides scored, %d of them with two classes or more: mean adjusted Rand index %.3f, of permuted prototypes "
        "%.3f; %d slides with a truth map have no assignments",
        *(len(rows), len(mixed), _mean(mixed, "ari"), _mean(mixed, "ari_random"), meta["n_skipped"]),
    )
    log.info(
        "over the cohort, %(n_groups)d groups of %(n_regions)d regions: adjusted Rand index %(ari).3f, of groups dealt "
        "to regions by chance %(ari_random).3f, to prototypes %(ari_random_prototypes).3f",
        meta["cohort"],
    )


def main(argv: list[str] | None = None) -> None:
    parser = entry_parser(__doc__)
    parser.add_argument("--config", type=Settings.model_validate_json, required=True, help="JSON: region_truth, seed")
    parser.add_argument("--slides", type=Path, required=True, help="slides.parquet of the cohort")
    parser.add_argument("--regions-folder", type=Path, required=True, help="folder of regions/{slide_id}.parquet")
    parser.add_argument("--check-folder", type=Path, required=True, help="folder of check/{slide_id}.parquet")
    parser.add_argument("--assignments", type=Path, required=True, help="assignments.parquet of a round")
    parser.add_argument("--groups", type=Path, required=True, help="groups.parquet of their prototypes")
    parser.add_argument("--output", type=Path, required=True, help="textures_{run}.parquet")
    args = parse_entry(parser, argv)

    maps = known_maps(args.config.region_truth)
    assigned = read_region_groups(args.assignments, args.groups)
    known, rows, found = set(assigned["slide_id"].to_pylist()), [], []
    cohort_slides = set(read_table(args.slides, ["slide_id"])["slide_id"].to_pylist())
    for name, truth in map_of_slides(maps, cohort_slides | known).items():
        if name in known:
            regions, check = (folder / f"{name}.parquet" for folder in (args.regions_folder, args.check_folder))
            ids, classes = region_classes(truth, regions, check)
            prototypes, groups, places = (in_order(assigned, ids, key) for key in ("prototype", "group", "row"))
            own, seed = prototypes >= 0, derive_seed(args.config.seed, "textures", name)
            rows.append({"slide_id": name, **prototype_agreement(prototypes[own], classes[own], seed)._asdict()})
            found.append(np.stack([np.full_like(groups, len(rows)), places, groups, classes])[:, own])
    slides, places, groups, classes = np.concatenate([np.empty((4, 0), dtype=np.int64), *found], axis=1)
    cohort = cohort_agreement(slides, places, groups, classes, derive_seed(args.config.seed, "textures"))._asdict()
    meta = {"n_skipped": len(maps) - len(rows), "seed": args.config.seed, "cohort": cohort}
    write_table(args.output, rows, schemas.TEXTURES, meta)
    _tell(rows, meta)


if __name__ == "__main__":
    run_entry(main)
