"""Prototypes of a slide: k-means of its regions' unit features."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import faiss
import numpy as np

from workflow_scripts.config import Prototypes
from workflow_scripts.core.seeds import derive_seed


@dataclass(frozen=True)
class SlidePrototypes:
    """Prototypes of S slides with M each, d dimensions, over N regions.

    Attributes:
        vectors: float32 `[S, M, d]`, unit length; zeros for slides without prototypes.
        valid: bool `[S]`, False for slides with too few regions.
        assignment: int64 `[N]`, the prototype of each region, -1 on slides without prototypes.
        similarity: float32 `[N]`, cosine between a region and its prototype, 0 on slides without.
    """

    vectors: np.ndarray
    valid: np.ndarray
    assignment: np.ndarray
    similarity: np.ndarray


def cluster_slide(features: np.ndarray, settings: Prototypes, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """k-means of one slide's unit features `[n, d]`.

    Euclidean k-means, regions assigned to the nearest raw centroid, centroids normalised afterwards: the
    published order of operations (method: D-13).

    Returns:
        unit centroids float32 `[M, d]`, assignment int64 `[n]`.
    """
    kmeans = faiss.Kmeans(
        features.shape[1],
        settings.count,
        niter=settings.iterations,
        nredo=settings.restarts,
        seed=seed % (2**31),
        min_points_per_centroid=1,
        max_points_per_centroid=max(1, len(features)),
    )
    kmeans.train(features)
    _, assignment = kmeans.index.search(features, 1)
    centroids = kmeans.centroids
    norms = np.linalg.norm(centroids, axis=1, keepdims=True)
    return centroids / np.maximum(norms, 1e-12), assignment[:, 0]


def cluster_slides(
    features: np.ndarray, slide_ids: list[str], counts: np.ndarray, settings: Prototypes, seed: int, threads: int = 1
) -> SlidePrototypes:
    """Prototypes of every slide that has at least `min_regions` regions.

    One thread a slide, slides in parallel: k-means of a slide is too small to share between threads.

    Args:
        features: float32 `[N, d]` unit features, slides contiguous in the order of `slide_ids`.
        slide_ids: S ids; the k-means seed of a slide comes from its id, not from its place.
        counts: int64 `[S]` regions of each slide.
        settings: number of prototypes, restarts, iterations.
        seed: seed of the round.
        threads: slides clustered at once.
    """
    faiss.omp_set_num_threads(1)
    starts = np.concatenate([[0], np.cumsum(counts)])
    vectors = np.zeros((len(slide_ids), settings.count, features.shape[1]), dtype=np.float32)
    assignment = np.full(len(features), -1, dtype=np.int64)
    similarity = np.zeros(len(features), dtype=np.float32)
    valid = counts >= settings.min_regions

    def work(index: int) -> None:
        part = slice(starts[index], starts[index + 1])
        own = np.ascontiguousarray(features[part])
        slide_seed = derive_seed(seed, "k-means", slide_ids[index])
        vectors[index], assignment[part] = cluster_slide(own, settings, slide_seed)
        similarity[part] = np.einsum("nd,nd->n", own, vectors[index][assignment[part]])

    with ThreadPoolExecutor(max(1, threads)) as pool:
        list(pool.map(work, np.flatnonzero(valid)))
    return SlidePrototypes(vectors, valid, assignment, similarity)
