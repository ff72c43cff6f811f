"""Faiss's searches of unit vectors: through all of them, on the CPU or a GPU, and in lists of neighbouring ones."""

import math
from typing import Any

import faiss
import numpy as np

_LEARNT = 64  # vectors a list that the lists' centres are learnt from
_FAISS: Any = faiss  # whose stub has other signatures than its classes and functions


def exact_rows(vectors: np.ndarray, queries: np.ndarray, k: int, kept: np.ndarray | None) -> np.ndarray:
    """Rows int64 `[q, k]` with the largest inner products, the largest first; -1 where there are fewer.

    The vectors stay where they are: faiss's indexes would copy them.

    Args:
        vectors: contiguous float32 `[N, d]`.
        queries: contiguous float32 `[q, d]`.
        k: at most N.
        kept: rows that may be found, bool `[N]`; None for all.
    """
    near, rows = np.empty((len(queries), k), np.float32), np.empty((len(queries), k), np.int64)
    x, y, products, found = (faiss.swig_ptr(array) for array in (queries, vectors, near, rows))
    shape = (vectors.shape[1], len(queries), len(vectors), k)
    _FAISS.knn_inner_product(x, y, *shape, products, found, _selector(kept))
    return rows


def on_gpu(vectors: np.ndarray) -> Any:
    """Faiss's index of all vectors on the first GPU."""
    index = _FAISS.index_cpu_to_gpu(_FAISS.StandardGpuResources(), 0, faiss.IndexFlatIP(vectors.shape[1]))
    index.add(vectors)
    return index


def learn_lists(vectors: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Centres float32 `[L, d]`, about the root of N, and the nearest centre of each vector, int64 `[N]`."""
    count = max(1, round(math.sqrt(len(vectors))))
    means = _FAISS.Kmeans(vectors.shape[1], count, spherical=True, seed=seed, max_points_per_centroid=_LEARNT)
    means.cp.min_points_per_centroid = 1
    means.train(vectors)
    return means.centroids, means.index.search(vectors, 1)[1].ravel()


def inverted_file(vectors: np.ndarray, centres: np.ndarray, lists: np.ndarray) -> Any:
    """Faiss's inverted file of vectors whose lists are known."""
    quantiser: Any = faiss.IndexFlatIP(vectors.shape[1])
    quantiser.add(centres)
    index: Any = faiss.IndexIVFFlat(quantiser, vectors.shape[1], len(centres), faiss.METRIC_INNER_PRODUCT)
    order = np.argsort(lists, kind="stable")
    ends = np.cumsum(np.bincount(lists, minlength=len(centres)))[:-1]
    for number, rows in enumerate(np.split(order, ends)):
        if len(
            rows
        ):  # a list at once takes the bytes that it needs; one vector after another takes up to twice as many
            values = vectors[rows].view(np.uint8)
            index.invlists.add_entries(number, len(rows), faiss.swig_ptr(rows), faiss.swig_ptr(values))
    index.ntotal = len(vectors)
    return index


def rows_in_lists(inverted: Any, queries: np.ndarray, k: int, probes: int, kept: np.ndarray | None) -> np.ndarray:
    """As `exact_rows`, of the vectors in the nearest lists: `probes`, and twice as many until k are found or none left.

    So what may not be found does not use up what is looked into.
    """
    there = inverted.ntotal if kept is None else int(kept.sum())
    selector = _selector(kept)
    rows, short = np.full((len(queries), k), -1, dtype=np.int64), np.arange(len(queries))
    while len(short):
        options = _FAISS.SearchParametersIVF(sel=selector, nprobe=min(probes, inverted.nlist))
        rows[short] = inverted.search(queries[short], k, params=options)[1]
        short = np.flatnonzero((rows >= 0).sum(axis=1) < min(k, there)) if probes < inverted.nlist else short[:0]
        probes *= 2
    return rows


def _selector(kept: np.ndarray | None) -> Any:
    """Rows that may be found, from bool `[N]`; None for all."""
    return None if kept is None else _FAISS.IDSelectorBitmap(np.packbits(kept, bitorder="little"))
