"""Print the slides most like a slide of a cohort, by matched prototypes, and the regions most like it or its region.

Slides of the same patient are left out, as in the benchmark's retrieval.
"""

from pathlib import Path

import numpy as np

from workflow_scripts.core.entry import entry_parser, parse_entry, run_entry
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.tables import read_table
from workflow_scripts.representations.prototype_sets import prototype_means
from workflow_scripts.search.region_index import RegionIndex
from workflow_scripts.search.similar import region_lines, similar_slides, text_table


def _regions(folder: Path) -> tuple[list[str], list[str], np.ndarray]:
    """Slide ids, region ids and vectors float32 `[N, d]` of the regions."""
    path = folder / "regions.parquet"
    if not path.is_file():
        runs = sorted(found.parent.name for found in folder.parent.glob("*/regions.parquet"))
        there = f"there are {', '.join(runs)}" if runs else "run the target embed first"
        raise UserError(f"{path} does not exist; name embeddings as --run: {there}")
    table = read_table(path)
    if not len(table):
        raise UserError(f"{path} holds no vectors of regions; name other embeddings as --run, such as slpd")
    flat = np.asarray(table["vector"].combine_chunks().flatten().to_numpy(zero_copy_only=False), dtype=np.float32)
    return table["slide_id"].to_pylist(), table["region_id"].to_pylist(), flat.reshape(len(table), -1)


def _sets(results: Path, run: str, owners: list[str], ids: list[str], vectors: np.ndarray) -> np.ndarray:
    """Prototypes of each slide, `[S, M, d]`, by the last clustering; without one the mean over its regions, M of 1."""
    slides = {name: number for number, name in enumerate(dict.fromkeys(owners))}
    slide = np.array([slides[name] for name in owners])
    last = sorted((results / "pretrain" / run).glob("round_*/assignments.parquet"))[-1:]
    tables = [path for one in last for path in (one, one.with_name("test_assignments.parquet")) if path.is_file()]
    rows = [row for path in tables for row in read_table(path).to_pylist()]
    key = {(row["slide_id"], row["region_id"]): row["prototype"] for row in rows}
    prototype = np.array([key.get(pair, -1) for pair in zip(owners, ids, strict=True)])
    return prototype_means(vectors, slide, prototype, len(slides), max(int(prototype.max()) + 1, 1))[0]


def _index(folder: Path, owners: list[str], ids: list[str], vectors: np.ndarray) -> RegionIndex:
    """The index that the target search_index has made of these embeddings; made here where there is none."""
    path = folder / "index.safetensors"
    if path.is_file() and path.stat().st_mtime >= (folder / "regions.parquet").stat().st_mtime:
        return RegionIndex.load(path)
    return RegionIndex.build(vectors, owners, ids, approximate=False)


def main(argv: list[str] | None = None) -> None:
    parser = entry_parser(__doc__)
    parser.add_argument("results", type=Path, help="results folder of the cohort, such as results/mycohort")
    parser.add_argument("query", help="id of a slide or of a region")
    parser.add_argument("-k", type=int, default=5, help="how many slides and regions; default 5")
    parser.add_argument("--run", default="slpd", help="pretraining run, or other embeddings; default slpd")
    args = parse_entry(parser, argv)
    if args.k < 1:
        raise UserError(f"-k is {args.k}; ask for at least one")
    folder = args.results / "embeddings" / args.run
    owners, ids, vectors = _regions(folder)
    names = list(dict.fromkeys(owners))
    region = ids.index(args.query) if args.query in ids else None
    if region is None and args.query not in names:
        raise UserError(f"{args.query} is no slide or region of {folder}/regions.parquet, such as {names[0]}, {ids[0]}")
    slide = names.index(args.query if region is None else owners[region])
    patients = _patients(args.results)
    patient = [patients.get(name, name) for name in names]
    kept = np.array([one != patient[slide] for one in patient])
    sets = _sets(args.results, args.run, owners, ids, vectors)
    rows = [
        (str(n), names[one.slide], patient[one.slide], f"{one.similarity:.3f}", " ".join(map(str, one.matching)))
        for n, one in enumerate(similar_slides(sets, slide, kept, args.k), start=1)
    ]
    print(f"Slides like {names[slide]} (its prototypes 0, 1, ... are matched to these)")
    print(text_table(("rank", "slide", "patient", "similarity", "prototypes"), rows))
    queries = sets[slide] if region is None else vectors[[region]]
    own = [name for name, there in zip(names, kept, strict=True) if not there]
    nearest = _index(folder, owners, ids, vectors).search(queries, args.k, exclude_slides=own)
    print(f"\nRegions like {'each of its prototypes' if region is None else args.query}")
    print(
        text_table(
            ("query", "rank", "slide", "region", "cosine"), region_lines(nearest.row, nearest.cosine, owners, ids)
        )
    )


def _patients(results: Path) -> dict[str, str]:
    """Patient of each slide of the cohort and of its test cohort."""
    tables = [path for name in ("slides", "test_slides") if (path := results / f"{name}.parquet").is_file()]
    rows = [row for path in tables for row in read_table(path, ["slide_id", "patient_id"]).to_pylist()]
    return {row["slide_id"]: row["patient_id"] for row in rows}


if __name__ == "__main__":
    run_entry(main)
