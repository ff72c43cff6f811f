"""What sets of prototypes cost, and what they add on a finished cohort, few-shot included.

python -m tests.benchmarks.sets --part cost --slides 1000 4000
python -m tests.benchmarks.sets --part clusters [--config config/config.yaml]
python -m tests.benchmarks.sets --part gains --task subtype --few-shot 1 2 4
"""

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import yaml
from sklearn.metrics import adjusted_rand_score

from workflow_scripts import collect_results, embed_prototypes, fit_head, split_patients
from workflow_scripts.config import Config, Prototypes, load_config, stages
from workflow_scripts.core.matching import set_similarities
from workflow_scripts.core.tables import read_table
from workflow_scripts.core.vectors import vectors_of
from workflow_scripts.mil.bags import Bags
from workflow_scripts.mil.head import Job
from workflow_scripts.mil.heads import make_head
from workflow_scripts.score_textures import _classes
from workflow_scripts.slpd.prototypes import cluster_slides

SOURCES = ("mean", "dino", "slpd")
PAIRS = ("knn", "logistic"), ("matching_knn", "matching_logistic")


def cost(slides: list[int]) -> None:
    """Processor seconds and peak memory of all likenesses, and of a fit of each head with C chosen by inner folds."""
    for n in slides:
        random = np.random.default_rng(0)
        sets = random.normal(size=(n, 4, 192)).astype(np.float32)
        label = np.arange(n) % 2
        sets[:, 0, 0] += 2 * label
        bags = Bags(sets.reshape(n, -1), list(sets), label, 2)
        job = Job(np.arange(n // 5, n), np.empty(0, np.int64), np.arange(n // 5), 0)
        works = {"likeness": lambda sets=sets: set_similarities(sets)}
        for head in PAIRS[1]:
            works[head] = lambda head=head, bags=bags, job=job: make_head(head, "classification", {}).predict(
                bags, [job]
            )
        for name, work in works.items():
            begin = time.process_time()
            work()
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            print(f"| {name} | {n} | {time.process_time() - begin:.1f} | {peak} |", flush=True)


def _regions(folder: Path, name: str) -> tuple[list[str], np.ndarray, np.ndarray, list[tuple[str, str]]]:
    table = read_table(folder / f"embeddings/{name}/regions.parquet")
    owners, regions = table["slide_id"].to_pylist(), table["region_id"].to_pylist()
    ids = list(dict.fromkeys(owners))
    return ids, np.array([owners.count(one) for one in ids]), vectors_of(table), list(zip(owners, regions, strict=True))


def clusters(config: Config, folder: Path) -> None:
    """Agreement of k-means within slides with the true classes, by what is done to the vectors before."""
    truth: dict[tuple[str, str], int] = {}
    embedded = set(_regions(folder, SOURCES[0])[0])
    for path in sorted(Path(str(config.benchmark.region_truth)).glob("*.npz")):
        for name in {path.stem, Path(path.stem).stem} & embedded:
            files = (folder / f"{kind}/{name}.parquet" for kind in ("regions", "check"))
            truth |= {(name, region): int(k) for region, k in zip(*_classes(path, *files), strict=True)}
    settings = config.pretrain.defaults.prototypes
    for name in SOURCES:
        ids, counts, vectors, places = _regions(folder, name)
        classes = np.array([truth.get(place, -1) for place in places])
        parts = np.split(np.arange(len(vectors)), np.cumsum(counts)[:-1])
        centred = np.concatenate([vectors[part] - vectors[part].mean(axis=0) for part in parts])
        spread = np.concatenate([np.tile(vectors[part].std(axis=0), (len(part), 1)) for part in parts])
        scaled = np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 0)
        told = []
        for features in (vectors, centred, scaled):
            chosen = Prototypes.model_validate(settings.model_dump() | {"features": "backbone"})
            found = [cluster_slides(features, ids, counts, chosen, seed).assignment for seed in range(3)]
            told.append(np.mean([_index(classes, one, parts) for one in found]))
        print(f"| {name} | " + " | ".join(f"{value:.3f}" for value in told) + " |", flush=True)


def _index(classes: np.ndarray, assignment: np.ndarray, parts: list[np.ndarray]) -> float:
    """Mean adjusted Rand index of the slides with two classes or more."""
    kept = [part[(classes[part] >= 0) & (assignment[part] >= 0)] for part in parts]
    return float(
        np.mean([adjusted_rand_score(classes[p], assignment[p]) for p in kept if len(set(classes[p].tolist())) > 1])
    )


def gains(config: Config, folder: Path, task: str, few_shot: list[int]) -> None:
    """Heads on sets against their like on slide vectors, as `collect_results` has them."""
    with tempfile.TemporaryDirectory() as name:
        out = Path(name)
        split = stages.split_settings(config, task) | {"few_shot": few_shot}
        files = ["--labels", f"{out}/labels.parquet", "--splits", f"{out}/splits.parquet"]
        arguments = ["--task", task, "--manifest", config.cohort.manifest, "--slides", f"{folder}/slides.parquet"]
        split_patients.main(["--config", json.dumps(split), *arguments, *files[:2], "--output", files[3]])
        predictions = [path for source in SOURCES for path in _fitted(config, folder, out, source, files)]
        settings = {"primary": config.benchmark.primary(), "sets": {f"{one}-prototypes": one for one in SOURCES}}
        tables = [f"--{one}={out}/{one}.parquet" for one in ("output", "comparisons", "sets")]
        collect_results.main(["--config", json.dumps(settings), "--predictions", *predictions, *tables])
        values = {
            (row["representation"], row["head"], row["budget"]): row["value"]
            for row in read_table(out / "output.parquet").to_pylist()
            if row["headline"]
        }
        for row in read_table(out / "sets.parquet").to_pylist():
            both = [values[row[of], row[head], row["budget"]] for of, head in (("first", "head"), ("second", "other"))]
            numbers = (
                f"{both[0]:.3f} | {both[1]:.3f} | {row['difference']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]"
            )
            print(
                f"| {row['second']} | {row['head']} | {row['budget']} | {numbers} | {row['p_holm']:.3f} |", flush=True
            )


def _fitted(config: Config, folder: Path, out: Path, source: str, files: list[str]) -> Iterator[str]:
    """Predictions of both kinds of heads on an embedding and on its sets."""
    sets = out / f"{source}-prototypes"
    run = config.pretrain.run(source) if source in config.pretrain.runs else None
    own = run is not None and run.has_slide_sets
    last = f"{folder}/pretrain/{source}/round_{run.clustered_in(run.rounds):02d}/assignments.parquet" if own else ""
    options = ["--regions", f"{folder}/embeddings/{source}/regions.parquet", "--cohort", f"{folder}/slides.parquet"]
    options += [f"--{one}-output={sets}/{one}.parquet" for one in ("regions", "slides")]
    settings = json.dumps(stages.set_settings(config, source))
    embed_prototypes.main(["--config", settings, *options, *(["--assignments", last] if own else [])])
    for heads, place in zip(PAIRS, (folder / "embeddings" / source, sets), strict=True):
        known = {head: config.benchmark.head_settings.of(head) for head in heads}
        output = f"{out}/{place.name}.predictions.parquet"
        more = ["--representation", place.name, "--embeddings", str(place), "--output", output]
        more += ["--attention", f"{out}/attention.parquet"]
        fit_head.main(["--config", json.dumps({"heads": known, "seed": config.benchmark.seed}), *files, *more])
        yield output


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("cost", "clusters", "gains"), required=True)
    parser.add_argument("--config", type=Path, default=Path("config/config.yaml"))
    parser.add_argument("--slides", type=int, nargs="+", default=[1000])
    parser.add_argument("--task", default="subtype")
    parser.add_argument("--few-shot", type=int, nargs="*", default=[1, 2, 4], help="patients of each class")
    args = parser.parse_args()
    if args.part == "cost":
        return cost(args.slides)
    config = load_config(yaml.safe_load(args.config.read_text(encoding="utf-8")))
    folder = Path("results") / config.cohort.name
    if args.part == "clusters":
        return clusters(config, folder)
    return gains(config, folder, args.task, args.few_shot)


if __name__ == "__main__":
    main()
