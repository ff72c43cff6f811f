"""How long the k-means of all slides takes, against faiss's k-means called slide by slide, and how it uses cores.

Unit features of a made-up cohort (four loose groups a slide) are clustered into 4 prototypes a slide with 5 restarts
of 10 iterations. The ways take turns, so that what else the machine does meets all alike; the fastest and the median
turn of each are printed; speeds are ratios of the fastest to the first row's. "core s" is processor time of all
threads, which holds on a busy machine, too, and shows what sharing out costs. "two processes" is plain faiss on half
the slides each in two processes: what two cores give at that moment. Objective: squared distances of regions to
their cluster's mean.
The last table clusters the same regions as one cohort. Peak memory is that of the whole process.

    OMP_NUM_THREADS=1 python -m tests.benchmarks.cluster [--slides 1000] [--regions 100] [--threads 1 2] [--turns 7]
"""

import argparse
import multiprocessing
import resource
import time
from collections.abc import Callable
from typing import Any

import faiss
import numpy as np

from workflow_scripts.config import Prototypes
from workflow_scripts.core.seeds import derive_seed
from workflow_scripts.slpd.prototypes import cluster_cohort, cluster_slides

SEED = 1
COHORT: dict[str, Any] = {}  # here, so that forked processes have it without a copy


def made_up(slides: int, regions: int, dim: int, groups: int = 4) -> np.ndarray:
    """Unit features `[slides * regions, dim]`."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((slides, groups, dim), dtype=np.float32)
    group = rng.integers(0, groups, (slides, regions))
    x = 0.7 * centres[np.arange(slides)[:, None], group] + rng.standard_normal((slides, regions, dim), np.float32)
    return (x / np.linalg.norm(x, axis=2, keepdims=True)).reshape(-1, dim)


def plain(slides: range) -> np.ndarray:
    """faiss's class called slide by slide as its manual shows; the assignment of every region."""
    features, regions, settings = COHORT["features"], COHORT["regions"], COHORT["settings"]
    found = []
    for i in slides:
        x = features[i * regions : (i + 1) * regions]
        seed = derive_seed(SEED, "k-means", str(i)) % 2**31
        kmeans = faiss.Kmeans(
            x.shape[1], settings.count, niter=settings.iterations, nredo=settings.restarts, seed=seed,
            min_points_per_centroid=1, max_points_per_centroid=regions,
        )  # fmt: skip
        kmeans.train(x)
        found.append(kmeans.index.search(x, 1)[1][:, 0])
    return np.concatenate(found)


def objective(features: np.ndarray, owner: np.ndarray, assignment: np.ndarray) -> float:
    """Sum of squared distances of unit features to the means: the count less the squared lengths of the sums."""
    parts = np.unique(owner * (assignment.max() + 1) + assignment, return_inverse=True)[1]
    sums = np.zeros((parts.max() + 1, features.shape[1]))
    np.add.at(sums, parts, features)
    return float(len(features) - ((sums**2).sum(axis=1) / np.bincount(parts)).sum())


def take_turns(ways: dict[str, Callable[[], object]], turns: int) -> dict[str, np.ndarray]:
    """Seconds of each way, by the clock and of this process's cores, `[turns, 2]`."""
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(turns):
        for name, way in ways.items():
            began = time.perf_counter(), time.process_time()
            way()
            seconds[name].append((time.perf_counter() - began[0], time.process_time() - began[1]))
    return {name: np.array(taken) for name, taken in seconds.items()}


def print_table(seconds: dict[str, np.ndarray], objectives: dict[str, float]) -> None:
    first = next(iter(seconds.values())).min(axis=0)
    head = ("way", "fastest s", "median s", "speed", "core s", "core speed", "objective")
    print("{:30} {:>9} {:>9} {:>6} {:>7} {:>10} {:>10}".format(*head))
    for name, taken in seconds.items():
        (wall, core), median = taken.min(axis=0), np.median(taken[:, 0])
        cores = f"{'-':>7} {'-':>10}" if "processes" in name else f"{core:7.3f} {first[1] / core:10.2f}"
        print(f"{name:30} {wall:9.3f} {median:9.3f} {first[0] / wall:6.2f} {cores} {objectives[name]:10.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slides", type=int, default=1000)
    parser.add_argument("--regions", type=int, default=100, help="of each slide")
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--turns", type=int, default=7)
    args = parser.parse_args()
    features, settings = made_up(args.slides, args.regions, args.dim), Prototypes()
    names, counts = [str(i) for i in range(args.slides)], np.full(args.slides, args.regions)
    owner = np.repeat(np.arange(args.slides), args.regions)
    COHORT.update(features=features, regions=args.regions, settings=settings)
    halves = [range(args.slides // 2), range(args.slides // 2, args.slides)]
    faiss.omp_set_num_threads(1)  # before the fork, for plain faiss in this thread and in both processes
    with multiprocessing.get_context("fork").Pool(2) as pool:
        ways = {"faiss.Kmeans slide by slide": lambda: plain(range(args.slides))}
        ways["the same, two processes"] = lambda: np.concatenate(pool.map(plain, halves, 1))
        for n in args.threads:
            ways[f"cluster_slides, threads {n}"] = lambda n=n: (
                cluster_slides(features, names, counts, settings, SEED, n).assignment
            )
        print(
            f"{args.slides} slides of {args.regions} regions, {args.dim} dimensions, {settings.count} prototypes each"
        )
        objectives = {name: objective(features, owner, way()) for name, way in ways.items()}
        print_table(take_turns(ways, args.turns), objectives)
    whole = settings.model_copy(update={"level": "global"})
    ways = {
        f"cluster_cohort, threads {n}": lambda n=n: cluster_cohort(features, names, counts, whole, SEED, n).assignment
        for n in args.threads
    }
    objectives = {n: objective(features, np.zeros(len(owner), np.int64), way()) for n, way in ways.items()}
    print(f"\nthe same regions as one cohort, {whole.global_count} prototypes")
    print_table(take_turns(ways, 2), objectives)
    print(f"\npeak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10:.0f} MiB")


if __name__ == "__main__":
    main()
