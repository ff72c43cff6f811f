"""Write the regions of every slide with their groups, prototypes and scores as GeoJSON for QuPath."""

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa

from workflow_scripts.config import Section
from workflow_scripts.core.entry import entry_parser, log, parse_entry, run_entry
from workflow_scripts.core.files import write_text
from workflow_scripts.core.region_groups import by_slide, read_region_groups
from workflow_scripts.core.slide_scores import slide_scores
from workflow_scripts.core.stale_files import remove_stale
from workflow_scripts.core.tables import read_meta, read_table, write_table
from workflow_scripts.interchange.qupath import collection, tile

INDEX = pa.schema(
    [
        pa.field("slide_id", pa.string(), nullable=False),
        pa.field("file", pa.string()),  # relative to the index
        pa.field("n_regions", pa.int64()),
    ]
)
_PLACE = ("x", "y", "size_x", "size_y")


class Settings(Section):
    heads: dict[str, str]
    """Head whose predictions are a slide's scores, by task."""


def slide_features(rows: list[dict[str, Any]], results: Path, scores: dict[str, float]) -> list[dict[str, Any]]:
    """The regions of one slide as GeoJSON features.

    Args:
        rows: its regions, of `core.region_groups`.
        results: folder of the cohort, for places and the origin of the slide's bounds.
        scores: of the slide, by name.
    """
    slide_id = rows[0]["slide_id"]
    table = read_table(results / "regions" / f"{slide_id}.parquet", ["region_id", *_PLACE]).to_pylist()
    places = {row["region_id"]: row for row in table}
    tissue = results / "tissue" / f"{slide_id}.parquet"
    x, y = read_meta(tissue).get("origin") or (0, 0) if tissue.is_file() else (0, 0)
    sizes = Counter(row["group"] for row in rows)
    of_slide = {f"slide: {name}": value for name, value in scores.items()}
    of_slide |= {f"slide: share of group {group}": sizes[group] / len(rows) for group in sorted(sizes)}
    return [
        tile(
            {**row, **places[row["region_id"]]},
            (x, y),
            {
                "group": row["group"],
                "prototype": row["prototype"],
                "similarity to prototype": row["similarity"],
                "similarity of prototype to group": row["to_centre"],
                **of_slide,
            },
        )
        for row in rows
        if row["region_id"] in places
    ]


def main(argv: list[str] | None = None) -> None:
    parser = entry_parser(__doc__)
    parser.add_argument("--config", type=Settings.model_validate_json, required=True, help="JSON: heads")
    parser.add_argument("--results", type=Path, required=True, help="results folder of the cohort")
    parser.add_argument("--groups", type=Path, required=True, help="groups.parquet of a run")
    parser.add_argument("--assignments", type=Path, required=True, help="assignments.parquet that were grouped")
    parser.add_argument("--predictions", type=Path, nargs="*", default=[], help="predictions.parquet of the tasks")
    parser.add_argument("--output", type=Path, required=True, help="list of what was written, Parquet, beside it")
    args = parse_entry(parser, argv)
    regions = read_region_groups(args.assignments, args.groups)
    slides = read_table(args.results / "slides.parquet", ["slide_id", "patient_id"])
    patient_of = dict(zip(slides["slide_id"].to_pylist(), slides["patient_id"].to_pylist(), strict=True))
    scores = slide_scores(args.predictions, args.config.heads, patient_of)
    files, index, folder = [], [], args.output.parent
    for slide_id, rows in by_slide(regions):
        features = slide_features(rows.to_pylist(), args.results, scores.get(slide_id, {}))
        files.append(f"{slide_id}.geojson")
        write_text(folder / files[-1], collection(features))
        index.append({"slide_id": slide_id, "file": files[-1], "n_regions": len(features)})
    remove_stale(folder, files)  # of slides that have left the cohort
    log.info("%d slides written to %s", len(index), folder)
    write_table(args.output, index, INDEX, {"run": args.groups.parent.name})


if __name__ == "__main__":
    run_entry(main)
