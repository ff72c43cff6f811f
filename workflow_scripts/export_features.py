"""Write the patch features of all usable slides in the layouts of other tools."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from workflow_scripts.config import Export, Regions
from workflow_scripts.core.entry import entry_parser, log, parse_entry, run_entry
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.feature_file import feature_facts, slide_file
from workflow_scripts.core.tables import read_table, write_table
from workflow_scripts.core.tensors import from_column
from workflow_scripts.interchange.write_hdf5 import WRITERS, ExportedSlide, patch_corners, remove_others

INDEX = pa.schema(
    [
        pa.field("slide_id", pa.string(), nullable=False),
        pa.field("format", pa.string()),
        pa.field("n_patches", pa.int64()),
        pa.field("files", pa.list_(pa.string())),  # relative to the index
    ]
)
_PLACE = ("x", "y", "size_x", "size_y")


def _places(path: Path, region_ids: list[str]) -> dict[str, np.ndarray]:
    """Columns x, y, size_x and size_y of the given regions, int64."""
    table = {row["region_id"]: row for row in read_table(path, ["region_id", *_PLACE]).to_pylist()}
    lost = [name for name in region_ids if name not in table]
    if lost:
        raise UserError(f"{path} has no region {lost[0]}, of which there are features; run the target features again")
    return {key: np.array([table[name][key] for name in region_ids], np.int64) for key in _PLACE}


def collect(row: dict[str, Any], features: Path, regions_folder: Path) -> ExportedSlide:
    """Patches of a slide that hold tissue and could be read."""
    slide_id = row["slide_id"]
    facts, path = feature_facts(features, slide_id), slide_file(features, slide_id)
    table = read_table(path, ["region_id", "features", "read_ok", "tissue"])
    places = _places(regions_folder / f"{slide_id}.parquet", table["region_id"].to_pylist())
    kept = from_column(table, "read_ok") & (from_column(table, "tissue") > 0)
    coords = patch_corners(places, facts["grid"])[kept]
    size_px = int(np.rint(np.median(places["size_x"]) / facts["grid"]))
    return ExportedSlide(
        name=slide_id,
        encoder=features.name,
        features=from_column(table, "features")[kept].astype(np.float32),
        coords=coords,
        patch_px=facts["patch_px"],
        mpp=facts["mpp"],
        size_px=size_px,
        level0_mpp=row["mpp_x"],
        width=row["width"],
        height=row["height"],
    )


def remove_stale(folder: Path, formats: list[str], encoder: str, index: list[dict[str, Any]]) -> None:
    """Remove the files of slides that left the cohort or were excluded since an earlier export."""
    for name in formats:
        kept = {file.removeprefix(f"{name}/") for row in index if row["format"] == name for file in row["files"]}
        removed = remove_others(folder / name, name, encoder, kept)
        if removed:
            log.info("%d files of slides that are no longer exported removed from %s", len(removed), folder / name)


def main(argv: list[str] | None = None) -> None:
    parser = entry_parser(__doc__)
    parser.add_argument("--config", type=Export.model_validate_json, required=True, help="JSON: section export")
    parser.add_argument(
        "--regions-config", type=Regions.model_validate_json, required=True, help="JSON: section regions"
    )
    parser.add_argument("--features", type=Path, required=True, help="folder features/{encoder}")
    parser.add_argument("--regions-folder", type=Path, required=True, help="folder of regions/{slide}.parquet")
    parser.add_argument("--slides", type=Path, nargs="+", required=True, help="slides.parquet of one cohort or several")
    parser.add_argument("--output", type=Path, required=True, help="list of what was written, Parquet, beside it")
    args = parse_entry(parser, argv)
    if args.regions_config.stride_fraction < 1:
        raise UserError("regions.stride_fraction is below 1, so patches stand more than once; set it to 1 to export")
    rows = [row for path in args.slides for row in read_table(path).to_pylist() if row["status"] == "ok"]
    index = []
    for row in rows:
        slide = collect(row, args.features, args.regions_folder)
        for name in args.config.formats:
            files = [f"{name}/{file}" for file in WRITERS[name](args.output.parent / name, slide)]
            index.append({"slide_id": slide.name, "format": name, "n_patches": len(slide.coords), "files": files})
    remove_stale(args.output.parent, args.config.formats, args.features.name, index)
    log.info("%d slides written as %s", len(rows), " and ".join(args.config.formats))
    write_table(args.output, index, INDEX)


if __name__ == "__main__":
    run_entry(main)
