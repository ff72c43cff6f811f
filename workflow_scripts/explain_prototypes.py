"""Tell what the prototypes of each run follow: tissue fraction, colour, the rim; and plain k-means, as a control."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from workflow_scripts.config import Prototypes, Section
from workflow_scripts.core import schemas
from workflow_scripts.core.entry import entry_parser, log, parse_entry, run_entry
from workflow_scripts.core.region_groups import in_order
from workflow_scripts.core.seeds import derive_seed
from workflow_scripts.core.tables import read_table, write_table
from workflow_scripts.core.truth_files import known_maps, map_of_slides
from workflow_scripts.core.truth_map import region_classes
from workflow_scripts.core.vectors import vectors_at
from workflow_scripts.slpd.explained_rows import explained_row, plain_prototypes, region_facts, told

_ITSELF = {"truth": None, "truth_tissue": None}  # the classes' index against themselves says nothing
_COLUMNS = ["slide_id", "region_id", "tissue_fraction", "grid_row", "grid_col"]


class Compared(Section):
    prototypes: Prototypes
    """Settings of the run's clustering."""
    seed: int
    """Seed of the run."""
    controls: list[str]
    """Representations of which plain k-means is the control."""


class Settings(Section):
    runs: dict[str, Compared]
    """The runs with prototypes."""
    region_truth: str | None = None
    """Folder of maps of the true classes."""


def _vectors(path: Path | None, region_ids: list[str]) -> np.ndarray:
    """Vectors of a representation, float32 `[N, d]`, NaN where a region has none, or there is no table."""
    if path is None:
        return np.full((len(region_ids), 1), np.nan, dtype=np.float32)
    return vectors_at(read_table(path, ["region_id", "vector"]), region_ids)


def _true_classes(maps: dict[str, Path], slides: set[str], regions: Path, checks: Path) -> dict[str, int]:
    """True class of each region of those of the slides that have a map."""
    found: dict[str, int] = {}
    for name, truth in maps.items():
        if name in slides:
            ids, classes = region_classes(truth, regions / f"{name}.parquet", checks / f"{name}.parquet")
            found |= dict(zip(ids, classes.tolist(), strict=True))
    return found


def main(argv: list[str] | None = None) -> None:
    parser = entry_parser(__doc__)
    parser.add_argument("--config", type=Settings.model_validate_json, required=True, help="JSON: runs, region_truth")
    parser.add_argument("--slides", type=Path, required=True, help="slides.parquet of the cohort")
    parser.add_argument("--assignments", type=Path, nargs="+", required=True, help="assignments.parquet of each run")
    parser.add_argument("--embeddings", type=Path, required=True, help="folder of {representation}/regions.parquet")
    parser.add_argument("--colour", type=Path, nargs="?", help="regions.parquet of the colour, where it is embedded")
    parser.add_argument("--regions-folder", type=Path, required=True, help="folder of regions/{slide_id}.parquet")
    parser.add_argument("--check-folder", type=Path, required=True, help="folder of check/{slide_id}.parquet")
    parser.add_argument("--output", type=Path, required=True, help="explained.parquet")
    args = parse_entry(parser, argv)
    assigned = dict(zip(args.config.runs, map(read_table, args.assignments), strict=True))
    slides = list(dict.fromkeys(name for table in assigned.values() for name in table["slide_id"].to_pylist()))
    tables = [read_table(args.regions_folder / f"{slide}.parquet", _COLUMNS) for slide in slides]
    regions = pa.concat_tables(tables) if tables else schemas.REGIONS.empty_table().select(_COLUMNS)
    region_ids = regions["region_id"].to_pylist()
    folder, cohort = args.config.region_truth, set(read_table(args.slides, ["slide_id"])["slide_id"].to_pylist())
    maps = map_of_slides(known_maps(folder), cohort | set(slides)) if folder else {}
    classes = _true_classes(maps, set(slides), args.regions_folder, args.check_folder)
    facts = region_facts(regions, _vectors(args.colour, region_ids)[:, :3], classes)
    rows: list[dict[str, Any]] = []
    for run, settings in args.config.runs.items():
        own = in_order(assigned[run], region_ids, "prototype")
        rows.append({"run": run, "clustering": "prototypes", **explained_row(facts, own, None)})
        for name in settings.controls:
            vectors = _vectors(args.embeddings / name / "regions.parquet", region_ids)
            seed = derive_seed(settings.seed, "control", name)
            found = plain_prototypes(facts, vectors, own, settings.prototypes, seed)
            rows.append({"run": run, "clustering": name, **explained_row(facts, found, own)})
        if classes:
            truth = np.where((own >= 0) & (facts.classes > 0), facts.classes, -1)
            rows.append({"run": run, "clustering": "true classes", **explained_row(facts, truth, own), **_ITSELF})
    log.info("%d clusterings of %d regions: %s", len(rows), len(region_ids), told(rows))
    write_table(args.output, rows, schemas.EXPLAINED, {"region_truth": args.config.region_truth})


if __name__ == "__main__":
    run_entry(main)
