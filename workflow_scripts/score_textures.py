"""Compare each slide's prototypes with its planted or annotated tissue classes."""

from pathlib import Path
from typing import Any

import numpy as np

from workflow_scripts.config import Section
from workflow_scripts.core import schemas
from workflow_scripts.core.entry import entry_parser, log, parse_entry, run_entry
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.seeds import derive_seed
from workflow_scripts.core.tables import read_table, write_table
from workflow_scripts.mil.agreement import majority_classes, prototype_agreement


def _score(slide_id: str, truth: Path, regions: Path, check: Path, prototype_of: dict[str, int], seed: int) -> dict:
    """Row of `schemas.TEXTURES` of one slide; `prototype_of` maps its region ids."""
    facts = read_table(check, ["mpp_x", "mpp_y"]).to_pylist()[0]
    boxes = [row for row in read_table(regions).to_pylist() if row["region_id"] in prototype_of]
    with np.load(truth) as planted:
        if not {"map", "um_per_px"} <= set(planted.files):
            raise UserError(f"{truth} lacks `map` or `um_per_px`; make the truth maps again, or unset region_truth")
        classes = majority_classes(
            planted["map"],
            np.array([[row[key] for key in ("x", "y", "size_x", "size_y")] for row in boxes]).reshape(-1, 4),
            (facts["mpp_x"], facts["mpp_y"]),
            float(planted["um_per_px"]),
        )
    prototypes = np.array([prototype_of[row["region_id"]] for row in boxes], dtype=np.int64)
    agreement = prototype_agreement(prototypes, classes, derive_seed(seed, "textures", slide_id))
    return {"slide_id": slide_id, **agreement._asdict()}


def _assigned(path: Path) -> dict[str, dict[str, int]]:
    """Prototype of each assigned region, by slide."""
    assigned: dict[str, dict[str, int]] = {}
    for row in read_table(path, ["slide_id", "region_id", "prototype"]).to_pylist():
        assigned.setdefault(row["slide_id"], {})[row["region_id"]] = row["prototype"]
    return assigned


class Settings(Section):
    region_truth: str
    """Folder of maps of the true classes, named by slide_id or slide file."""
    seed: int = 0
    """Seed of the random baseline."""


def _mean(rows: list[dict[str, Any]], key: str) -> float:
    return float(np.mean([row[key] for row in rows])) if rows else float("nan")


def main(argv: list[str] | None = None) -> None:
    parser = entry_parser(__doc__)
    parser.add_argument("--config", type=Settings.model_validate_json, required=True, help="JSON: region_truth, seed")
    parser.add_argument("--regions-folder", type=Path, required=True, help="folder of regions/{slide_id}.parquet")
    parser.add_argument("--check-folder", type=Path, required=True, help="folder of check/{slide_id}.parquet")
    parser.add_argument("--assignments", type=Path, required=True, help="assignments.parquet of a round")
    parser.add_argument("--output", type=Path, required=True, help="textures_{run}.parquet")
    args = parse_entry(parser, argv)

    maps = sorted(Path(args.config.region_truth).glob("*.npz"))
    if not maps:
        raise UserError(
            f"{args.config.region_truth} holds no {{slide_id}}.npz; correct benchmark.region_truth, or set it to null"
        )
    assigned = _assigned(args.assignments)
    rows = []
    for truth in maps:
        # named by the slide_id, or by the slide's file
        name = truth.stem if truth.stem in assigned else Path(truth.stem).stem
        if name in assigned:
            regions, check = (folder / f"{name}.parquet" for folder in (args.regions_folder, args.check_folder))
            rows.append(_score(name, truth, regions, check, assigned[name], args.config.seed))
    meta = {"n_skipped": len(maps) - len(rows), "seed": args.config.seed}
    write_table(args.output, rows, schemas.TEXTURES, meta)
    mixed = [row for row in rows if row["n_classes"] >= 2]
    log.info(
        "%d slides scored, %d of them with two classes or more: mean adjusted Rand index %.3f, of permuted prototypes "
        "%.3f; %d slides with a truth map have no assignments",
        len(rows),
        len(mixed),
        _mean(mixed, "ari"),
        _mean(mixed, "ari_random"),
        meta["n_skipped"],
    )


if __name__ == "__main__":
    run_entry(main)
