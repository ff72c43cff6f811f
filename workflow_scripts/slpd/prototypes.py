"""Prototypes: k-means of the regions' unit features, slide by slide or over the whole cohort."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import faiss
import numpy as np

from workflow_scripts.config import Prototypes
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.seeds import derive_seed

COHORT = ""  # slide_id of prototypes that belong to the whole cohort
_NO_LIMIT = 2**31 - 1  # faiss draws a sample of the regions above its limit
_SLIDES_A_TASK = 16  # few enough to balance, many enough that handing them out costs nothing


@dataclass(frozen=True)
class SlidePrototypes:
    """Prototypes of S slides with M each, d dimensions, over N regions; of a whole cohort, S is 1 (see `owners`).

    Attributes:
        vectors: float32 `[S, M, d]`, unit length, or means of raw backbone features where these are clustered;
            zeros for slides without prototypes.
        valid: bool `[S]`, False for slides with too few regions.
        assignment: int64 `[N]`, the prototype of each region, -1 for regions of slides with too few.
        similarity: float32 `[N]`, cosine between a region and its prototype, 0 where it has none.
    """

    vectors: np.ndarray
    valid: np.ndarray
    assignment: np.ndarray
    similarity: np.ndarray


class Clustering(NamedTuple):
    """Result of k-means: raw centroids float32 `[M, d]` and the assignment int64 `[n]`."""

    centroids: np.ndarray
    assignment: np.ndarray


def owners(level: str, slide_ids: list[str], slide_index: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Whose the prototypes are: ids of the rows of `SlidePrototypes.vectors`, and the row int64 `[N]` of each region.

    One row a slide, or, where the cohort is clustered as if it were one slide, one row named `COHORT`.
    """
    if level == "global":
        return [COHORT], np.zeros(len(slide_index), dtype=np.int64)
    return slide_ids, slide_index


class RegionKMeans:
    """k-means of unit features by faiss, the best of some restarts; for one thread at a time.

    Regions are assigned to the nearest raw centroid, the published order of operations (docs/method.md, row 13).
    The C++ objects are used without faiss's Python class, and made once for many slides: what Python does between two
    calls holds the interpreter's lock, and with it the other threads.
    """

    def __init__(self, count: int, width: int, settings: Prototypes, restarts: int) -> None:
        self.count, self.width = count, width
        spherical = settings.kmeans == "spherical"
        self._options = faiss.ClusteringParameters()
        self._options.niter, self._options.nredo, self._options.spherical = settings.iterations, restarts, spherical
        self._options.min_points_per_centroid, self._options.max_points_per_centroid = 1, _NO_LIMIT
        self._index = faiss.IndexFlatIP(width) if spherical else faiss.IndexFlatL2(width)
        self._last: faiss.Clustering  # of the last call

    def __call__(self, features: np.ndarray, seed: int) -> Clustering:
        """Cluster contiguous float32 unit features `[n, d]`."""
        self._options.seed = seed % (2**31)
        self._last = faiss.Clustering(self.width, self.count, self._options)
        self._last.train(features, self._index)
        _, assignment = self._index.search(features, 1)
        centroids = faiss.vector_to_array(self._last.centroids).reshape(self.count, self.width)
        return Clustering(centroids, assignment[:, 0])

    def objective(self) -> float:
        """faiss's objective of the last call, before the last update of the centroids.

        The sum of squared distances (Euclidean, smaller is better) or of cosines (spherical, larger is better); 0
        where there are as many regions as prototypes.
        """
        stats: Any = self._last.iteration_stats  # a C++ vector, whatever faiss's stub says
        return stats.at(stats.size() - 1).obj if stats.size() else 0.0


def cluster_slides(
    features: np.ndarray, slide_ids: list[str], counts: np.ndarray, settings: Prototypes, seed: int, threads: int = 1
) -> SlidePrototypes:
    """Prototypes of every slide that has at least `min_regions` regions.

    One thread a slide, slides in parallel: k-means of a slide is too small to share between threads.

    Args:
        features: float32 `[N, d]`, slides contiguous in the order of `slide_ids`; unit bottleneck features, or
            backbone features at their natural scale.
        slide_ids: S ids; the k-means seed of a slide comes from its id, not from its place.
        counts: int64 `[S]` regions of each slide.
        settings: number of prototypes, kind of k-means, restarts, iterations.
        seed: seed of the round.
        threads: slides clustered at once; the result does not depend on it.
    """
    starts = np.concatenate([[0], np.cumsum(counts)])
    vectors = np.zeros((len(slide_ids), settings.count, features.shape[1]), dtype=np.float32)
    assignment = np.full(len(features), -1, dtype=np.int64)
    similarity = np.zeros(len(features), dtype=np.float32)
    valid = counts >= settings.min_regions

    def work(slides: np.ndarray) -> None:
        kmeans = RegionKMeans(settings.count, features.shape[1], settings, settings.restarts)
        for i in slides:
            part = slice(starts[i], starts[i + 1])
            own, unit = features[part], _unit_features(features[part], settings)
            found = kmeans(unit, derive_seed(seed, "k-means", slide_ids[i]))
            vectors[i], similarity[part] = _prototypes(own, unit, found, settings)
            assignment[part] = found.assignment

    clustered = np.flatnonzero(valid)
    _in_parallel(work, [clustered[i : i + _SLIDES_A_TASK] for i in range(0, len(clustered), _SLIDES_A_TASK)], threads)
    return SlidePrototypes(vectors, valid, assignment, similarity)


def cluster_cohort(
    features: np.ndarray, slide_ids: list[str], counts: np.ndarray, settings: Prototypes, seed: int, threads: int = 1
) -> SlidePrototypes:
    """`global_count` prototypes of the whole cohort as one row of `SlidePrototypes`; arguments as `cluster_slides`.

    Only regions of slides with at least `min_regions` take part, the same that have prototypes where slides are
    clustered, so that a comparison of the two is one of the level alone. One thread a restart: a search shared
    between threads need not give the same bits for every number of threads.

    Raises:
        UserError: there are fewer regions than prototypes.
    """
    taken = np.repeat(counts >= settings.min_regions, counts)
    if taken.sum() < settings.global_count:
        raise UserError(
            f"{int(taken.sum())} regions of slides with at least {settings.min_regions} regions are too few for "
            f"{settings.global_count} prototypes; lower prototypes.global_count or prototypes.min_regions of the run"
        )
    own = features[taken]
    unit = _unit_features(own, settings)
    seeds = [derive_seed(seed, "k-means", COHORT, restart) for restart in range(settings.restarts)]

    def work(restart_seed: int) -> tuple[float, Clustering]:
        kmeans = RegionKMeans(settings.global_count, features.shape[1], settings, 1)
        found = kmeans(unit, restart_seed)
        return kmeans.objective(), found

    choose = max if settings.kmeans == "spherical" else min
    _, best = choose(_in_parallel(work, seeds, threads), key=lambda one: one[0])
    assignment = np.full(len(features), -1, dtype=np.int64)
    similarity = np.zeros(len(features), dtype=np.float32)
    vectors, similarity[taken] = _prototypes(own, unit, best, settings)
    assignment[taken] = best.assignment
    return SlidePrototypes(vectors[None], np.ones(1, dtype=bool), assignment, similarity)


def _one_thread() -> None:
    # the number of OpenMP threads belongs to the calling thread, so setting it once for the process does nothing here
    faiss.omp_set_num_threads(1)


def _in_parallel(work: Callable[[Any], Any], parts: list[Any], threads: int) -> list[Any]:
    """Results of `work` on every part, in order, on that many threads; faiss starts no threads of its own in them."""
    with ThreadPoolExecutor(max(1, threads), initializer=_one_thread) as pool:
        return list(pool.map(work, parts))


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def _unit_features(features: np.ndarray, settings: Prototypes) -> np.ndarray:
    """What is clustered; bottleneck features have unit length already."""
    return np.ascontiguousarray(_unit(features) if settings.features == "backbone" else features)


def _prototypes(
    features: np.ndarray, unit: np.ndarray, found: Clustering, settings: Prototypes
) -> tuple[np.ndarray, np.ndarray]:
    """Prototypes `[M, d]` and each region's cosine with its own `[n]`, from a clustering of `[n, d]` features."""
    vectors = directions = _unit(found.centroids)
    if settings.features == "backbone":
        vectors = _raw_means(features, found.assignment, directions)
        directions = _unit(vectors)
    return vectors, np.einsum("nd,nd->n", unit, directions[found.assignment])


def _raw_means(features: np.ndarray, assignment: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Mean `[M, d]` of the raw features `[n, d]` of each prototype's regions, so that the head fits to its scale.

    A prototype without regions keeps its direction `[M, d]`, at the mean length of a feature.
    """
    means = directions * np.linalg.norm(features, axis=1).mean()
    order = np.argsort(assignment, kind="stable")
    present, first, sizes = np.unique(assignment[order], return_index=True, return_counts=True)
    sums = np.add.reduceat(features[order].astype(np.float64), first, axis=0)
    means[present] = sums / sizes[:, None]
    return means
