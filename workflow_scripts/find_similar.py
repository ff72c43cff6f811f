"""Print the slides most like a slide of a cohort, by matched prototypes, and the regions most like it or its region.

Slides of the same patient are left out, as in the benchmark's retrieval.
"""

from pathlib import Path

import numpy as np

from workflow_scripts.core.entry import entry_parser, parse_entry, run_entry
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.tables import read_table
from workflow_scripts.core.vectors import vectors_of
from workflow_scripts.representations.prototype_sets import prototype_means
from workflow_scripts.search.region_index import RegionIndex
from workflow_scripts.search.similar import (
    Similar,
    region_index,
    region_lines,
    similar_by_vector,
    slide_table,
    text_table,
)
from workflow_scripts.slpd.clustered import has_slide_sets, region_prototypes, slide_prototypes
from workflow_scripts.slpd.slide_index import SlideIndex


def _by_prototypes(run: Path, slide: str, own: list[str], k: int) -> list[Similar]:
    """The nearest slides of the model's cohort; nothing where the slide has no prototypes."""
    index = SlideIndex.load(run / "model")
    of_cohort = slide in index.slide_ids
    if not (of_cohort or len(sets := slide_prototypes(run, slide))):
        return []
    found = index.nearest(slide if of_cohort else sets, k, leave_out=own)
    return [Similar(one.slide_id, one.similarity / len(one.matching), one.matching) for one in found]


def _patients(results: Path) -> dict[str, str]:
    """Patient of each slide of the cohort and of its test cohort."""
    if not (results / "slides.parquet").is_file():
        raise UserError(
            f"{results}/slides.parquet does not exist, and without it the other slides of a patient cannot be left "
            "out; name the cohort's results folder as the workflow leaves it"
        )
    tables = [path for name in ("slides", "test_slides") if (path := results / f"{name}.parquet").is_file()]
    rows = [row for path in tables for row in read_table(path, ["slide_id", "patient_id"]).to_pylist()]
    return {row["slide_id"]: row["patient_id"] for row in rows}


def _slides_like(results: Path, run: str, slide: str, patients: dict[str, str], own: list[str], k: int) -> str:
    """What is printed of slides."""
    if has_slide_sets(results / "pretrain" / run):
        found = _by_prototypes(results / "pretrain" / run, slide, own, k)
        if not found:
            return f"No slides are like {slide}: it has no prototypes to compare, or all others are of its patient"
        return f"Slides like {slide} (its prototypes 0, 1, ... are matched to these)\n{slide_table(found, patients)}"
    table = read_table(results / "embeddings" / run / "slides.parquet")
    found = similar_by_vector(vectors_of(table), table["slide_id"].to_pylist(), slide, own, k)
    return f"Slides like {slide} by their vectors\n{slide_table(found, patients)}"


def _directions(index: RegionIndex, run: Path, slide: str) -> np.ndarray:
    """Mean vectors `[M, d]` of the regions of each prototype of a slide, or `[1, d]` of all where it has none."""
    rows = np.flatnonzero([name == slide for name in index.slide_ids])
    ids = [index.region_ids[row] for row in rows]
    number = region_prototypes(run, slide, ids) if has_slide_sets(run) else np.full(len(rows), -1)
    count = int(number.max()) + 1 or 1
    return prototype_means(index.vectors[rows], np.zeros(len(rows), dtype=np.int64), number, 1, count)[0][0]


def main(argv: list[str] | None = None) -> None:
    parser = entry_parser(__doc__)
    parser.add_argument("results", type=Path, help="results folder of the cohort, such as results/mycohort")
    parser.add_argument("query", help="id of a slide or of a region")
    parser.add_argument("-k", type=int, default=5, help="how many slides and regions; default 5")
    parser.add_argument("--run", default="slpd", help="pretraining run, or other embeddings; default slpd")
    args = parse_entry(parser, argv)
    if args.k < 1:
        raise UserError(f"-k is {args.k}; ask for at least one")
    folder, run = args.results / "embeddings" / args.run, args.results / "pretrain" / args.run
    index, patients = region_index(folder, run / "model/index.safetensors"), _patients(args.results)
    slides, regions, query = set(index.slide_ids), index.region_ids, args.query
    region = regions.index(query) if query not in slides and query in regions else None
    if region is None and query not in slides:
        such = f"such as {index.slide_ids[0]}, {regions[0]}"
        raise UserError(f"{query} is no slide or region of {folder}/regions.parquet, {such}")
    slide = query if region is None else index.slide_ids[region]
    own = [slide, *(name for name, patient in patients.items() if patient == patients.get(slide, slide))]
    print(_slides_like(args.results, args.run, slide, patients, own, args.k))
    queries = _directions(index, run, slide) if region is None else index.vectors[[region]]
    found = index.search(queries, args.k, exclude_slides=own)
    print(f"\nRegions like {'each of its prototypes' if len(queries) > 1 else query}")
    lines = region_lines(found.row, found.cosine, index.slide_ids, regions)
    print(text_table(("query", "rank", "slide", "region", "cosine"), lines))


if __name__ == "__main__":
    run_entry(main)
