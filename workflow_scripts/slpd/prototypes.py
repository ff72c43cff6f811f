"""Prototypes: k-means of the regions' unit features, slide by slide or over the whole cohort."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import faiss
import numpy as np

from workflow_scripts.config import Prototypes
from workflow_scripts.core.directions import unit_vectors
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.seeds import derive_seed
from workflow_scripts.slpd.region_weights import region_weights, without_tissue

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
        assignment: int64 `[N]`, the prototype of each region, -1 for regions of slides with too few, and for those
            that `prototypes.others` leaves without.
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

    def __call__(self, features: np.ndarray, seed: int, weights: np.ndarray | None = None) -> Clustering:
        """Cluster contiguous float32 unit features `[n, d]`.

        Args:
            features: of the regions.
            seed: of the centroids' start.
            weights: float32 `[n]`, of the regions in the centroids, though not in the choice of the best restart;
                those of weight 0 are assigned alone. None where all are equal.
        """
        self._options.seed = seed % (2**31)
        self._last = faiss.Clustering(self.width, self.count, self._options)
        if weights is None:
            self._last.train(features, self._index)
        else:
            forming = weights > 0
            self._last.train(np.ascontiguousarray(features[forming]), self._index, weights[forming])
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
    features: np.ndarray,
    slide_ids: list[str],
    counts: np.ndarray,
    settings: Prototypes,
    seed: int,
    threads: int = 1,
    tissue: np.ndarray | None = None,
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
        tissue: `[N]`, tissue fraction of each region; needed where `settings.uses_tissue`.
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
            own = _prepared(features[part], None if tissue is None else tissue[part], settings)
            found = kmeans(own.clustered, derive_seed(seed, "k-means", slide_ids[i]), own.weights)
            vectors[i], assignment[part], similarity[part] = _prototypes(own, found, settings)

    clustered = np.flatnonzero(valid)
    _in_parallel(work, [clustered[i : i + _SLIDES_A_TASK] for i in range(0, len(clustered), _SLIDES_A_TASK)], threads)
    return SlidePrototypes(vectors, valid, assignment, similarity)


def cluster_cohort(
    features: np.ndarray,
    slide_ids: list[str],
    counts: np.ndarray,
    settings: Prototypes,
    seed: int,
    threads: int = 1,
    tissue: np.ndarray | None = None,
) -> SlidePrototypes:
    """`global_count` prototypes of the whole cohort as one row of `SlidePrototypes`; arguments as `cluster_slides`.

    Only regions of slides with at least `min_regions` take part, the same that have prototypes where slides are
    clustered, so that a comparison of the two is one of the level alone. One thread a restart: a search shared
    between threads need not give the same bits for every number of threads.

    Raises:
        UserError: there are fewer regions than prototypes.
    """
    taken = np.repeat(counts >= settings.min_regions, counts)
    _require_enough(int(taken.sum()), settings)
    sizes = counts[counts >= settings.min_regions]
    own = _prepared(features[taken], None if tissue is None else tissue[taken], settings, sizes)
    _require_enough(len(own.unit) if own.weights is None else int((own.weights > 0).sum()), settings)
    seeds = [derive_seed(seed, "k-means", COHORT, restart) for restart in range(settings.restarts)]

    def work(restart_seed: int) -> tuple[float, Clustering]:
        kmeans = RegionKMeans(settings.global_count, features.shape[1], settings, 1)
        found = kmeans(own.clustered, restart_seed, own.weights)
        return kmeans.objective(), found

    choose = max if settings.kmeans == "spherical" else min
    _, best = choose(_in_parallel(work, seeds, threads), key=lambda one: one[0])
    assignment = np.full(len(features), -1, dtype=np.int64)
    similarity = np.zeros(len(features), dtype=np.float32)
    vectors, assignment[taken], similarity[taken] = _prototypes(own, best, settings)
    return SlidePrototypes(vectors[None], np.ones(1, dtype=bool), assignment, similarity)


def _require_enough(regions: int, settings: Prototypes) -> None:
    if regions < settings.global_count:
        raise UserError(
            f"{regions} regions of slides with at least {settings.min_regions} regions are too few for "
            f"{settings.global_count} prototypes; lower prototypes.global_count or prototypes.min_regions of the run"
        )


def _one_thread() -> None:
    # the number of OpenMP threads belongs to the calling thread, so setting it once for the process does nothing here
    faiss.omp_set_num_threads(1)


def _in_parallel(work: Callable[[Any], Any], parts: list[Any], threads: int) -> list[Any]:
    """Results of `work` on every part, in order, on that many threads; faiss starts no threads of its own in them."""
    with ThreadPoolExecutor(max(1, threads), initializer=_one_thread) as pool:
        return list(pool.map(work, parts))


class _Regions(NamedTuple):
    """Regions as they are clustered, n of them.

    Attributes:
        features: float32 `[n, d]`, bottleneck or backbone features.
        unit: float32 `[n, d]`, the same at unit length.
        clustered: contiguous float32 `[n, d]`: `unit`, or what the tissue fraction does not tell of it.
        weights: float32 `[n]`, see `region_weights`; None where all are equal.
    """

    features: np.ndarray
    unit: np.ndarray
    clustered: np.ndarray
    weights: np.ndarray | None


def _prepared(
    features: np.ndarray, tissue: np.ndarray | None, settings: Prototypes, counts: np.ndarray | None = None
) -> _Regions:
    """Regions `[n, d]` of one slide, or of several with `counts`, int64 `[S]`, regions each.

    Raises:
        ValueError: the settings ask for the tissue fraction, and there is none.
    """
    unit = unit_vectors(features) if settings.features == "backbone" else features  # the bottleneck's have unit length
    if not settings.uses_tissue:
        return _Regions(features, unit, np.ascontiguousarray(unit), None)
    if tissue is None:
        raise ValueError("the clustering needs the tissue fraction of the regions")
    slides = np.split(np.arange(len(unit)), [] if counts is None else np.cumsum(counts)[:-1])
    given = [region_weights(tissue[own], settings) for own in slides]
    clustered = np.ascontiguousarray(unit)
    if settings.adjust == "tissue":
        parts = zip(slides, given, strict=True)
        clustered = np.concatenate([without_tissue(unit[own], tissue[own], weights) for own, weights in parts])
    weights = [part for part in given if part is not None]
    return _Regions(features, unit, clustered, np.concatenate(weights) if weights else None)


def _prototypes(own: _Regions, found: Clustering, settings: Prototypes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Prototypes `[M, d]`, each region's own `[n]`, -1 for none, and its cosine with it, 0 for none."""
    vectors = directions = unit_vectors(found.centroids)
    if settings.features == "backbone" or settings.adjust == "tissue":
        vectors = _means(own, found.assignment, directions)
        directions = unit_vectors(vectors)
        vectors = vectors if settings.features == "backbone" else directions
    assignment = found.assignment
    similarity = np.einsum("nd,nd->n", own.unit, directions[assignment])
    if own.weights is not None and settings.others == "none":
        left = own.weights == 0
        assignment, similarity = np.where(left, -1, assignment), np.where(left, 0, similarity)
    return vectors, assignment, similarity


def _means(own: _Regions, assignment: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Mean `[M, d]` of the features of each prototype's regions by their weights, at the features' own scale.

    A prototype without regions that form it keeps its direction `[M, d]`, at the mean length of a feature.
    """
    features = own.features
    means = directions * np.linalg.norm(features, axis=1).mean()
    if own.weights is not None:
        forming = own.weights > 0
        features, assignment, weights = features[forming], assignment[forming], own.weights[forming].astype(np.float64)
    else:
        weights = np.ones(len(features))
    order = np.argsort(assignment, kind="stable")
    present, first = np.unique(assignment[order], return_index=True)
    sums = np.add.reduceat((features * weights[:, None])[order], first, axis=0)
    means[present] = sums / np.add.reduceat(weights[order], first)[:, None]
    return means
