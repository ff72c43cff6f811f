"""An index of a million regions: time to build, size, milliseconds a query and recall, exact and approximate.

    python -m tests.benchmarks.search --regions 1000000 --width 192

Regions are unit vectors that vary in 24 directions, as embeddings do, and a little in all others. Their clusters are as
wide as their centres are apart, so that the nearest ten are no matter of the cluster alone, and all regions of a slide
are shifted by half as much. Queries are draws of the same kind, each of a slide of its own, that is none of the
index's. Recall is the share of the ten nearest of exact search that the approximate one finds; "stated" is what the
index itself measured as it was built. All times are of the processor, so that other work on the machine does not
count; with one thread they are those of the clock.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np

from workflow_scripts.search.region_index import RECALL_AT, Found, RegionIndex

_PER_SLIDE, _DIRECTIONS, _ELSEWHERE, _OF_SLIDE = 1_000, 24, 0.1, 0.5


def regions(n: int, width: int, clusters: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors float32 `[n, width]` in clusters, of slides of 1,000, and 1,000 queries of as many slides."""
    centres = random.standard_normal((clusters, _DIRECTIONS), dtype=np.float32)
    basis = random.standard_normal((_DIRECTIONS, width), dtype=np.float32) / np.float32(_DIRECTIONS**0.5)

    def drawn(m: int, of_a_slide: int) -> np.ndarray:
        own = centres[random.integers(0, clusters, m)] + random.standard_normal((m, _DIRECTIONS), dtype=np.float32)
        shift = np.float32(_OF_SLIDE) * random.standard_normal((-(-m // of_a_slide), _DIRECTIONS), dtype=np.float32)
        own += np.repeat(shift, of_a_slide, axis=0)[:m]
        vectors = own @ basis + np.float32(_ELSEWHERE) * random.standard_normal((m, width), dtype=np.float32)
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))

    return drawn(n, _PER_SLIDE), drawn(1_000, 1)


def timed(work: Callable[[], Found], repeats: int) -> tuple[float, Found]:
    """Milliseconds of processor time of the fastest of some calls, and what it found."""
    best, found = np.inf, work()
    for _ in range(repeats):
        start = time.process_time()
        found = work()
        best = min(best, time.process_time() - start)
    return 1e3 * best, found


def measure(index: RegionIndex, queries: np.ndarray, exact: bool, truth: np.ndarray | None) -> tuple[str, np.ndarray]:
    """A line of figures of one way to search, and the rows that it finds for 1,000 queries."""
    many, found = timed(lambda: index.search(queries, RECALL_AT, exact=exact), 1)
    single = [timed(lambda q=q: index.search(q[None], RECALL_AT, exact=exact), 3)[0] for q in queries[:10]]
    without, _ = timed(lambda: index.search(queries[:1], RECALL_AT, ["s0", "s1"], exact=exact), 3)
    real = 1.0 if truth is None else np.mean([len(set(a) & set(b)) for a, b in zip(found.row, truth, strict=True)])
    recall = real if truth is None else real / RECALL_AT
    figures = f"{np.median(single):.2f} | {many / len(queries):.2f} | {without:.2f} | {recall:.3f}"
    return figures, found.row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--regions", type=int, default=1_000_000)
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--clusters", type=int, default=2_000)
    args = parser.parse_args()
    vectors, queries = regions(args.regions, args.width, args.clusters, np.random.default_rng(0))
    slides = [f"s{i // _PER_SLIDE}" for i in range(args.regions)]
    names = [f"r{i}" for i in range(args.regions)]
    print(f"faiss {faiss.__version__}, {faiss.omp_get_max_threads()} threads, {faiss.get_num_gpus()} GPUs")
    print(
        "| index | build, s | on disk, MB | load, s | ms, one query | ms a query of 1,000 | ms, 2 slides left out |",
        end="",
    )
    print(f" recall@{RECALL_AT} | stated | lists read |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    truth = None
    for approximate in (False, True):
        start = time.process_time()
        index = RegionIndex.build(vectors, slides, names, approximate=approximate)
        built = time.process_time() - start
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "index.safetensors"
            index.save(path)
            size = path.stat().st_size / 1e6
            del index
            start = time.process_time()
            index = RegionIndex.load(path)
            loaded = time.process_time() - start
        figures, rows = measure(index, queries, not approximate, truth)
        truth = rows if truth is None else truth
        kind, lists = ("approximate", index.meta["probes"]) if approximate else ("exact", "all")
        stated = f"{index.meta['recall']:.3f} | {lists}"
        print(f"| {kind} | {built:.1f} | {size:.0f} | {loaded:.1f} | {figures} | {stated} |", flush=True)
        del index


if __name__ == "__main__":
    main()
