"""Embeddings of regions and slides as tables."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from workflow_scripts.core.digest import value_digest
from workflow_scripts.core.schemas import REGION_EMBEDDINGS, SLIDE_EMBEDDINGS
from workflow_scripts.core.tables import write_table

SEEN = ("saw", "n_saw", "saw_digest")


def slide_means(vectors: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Mean over the regions of each slide, `[N, d]` with slides contiguous and int64 `[S]` to float64 `[S, d]`."""
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64)
    means: np.ndarray = np.add.reduceat(vectors.astype(np.float64), starts, axis=0) / np.asarray(counts)[:, None]
    return means


def seen_facts(seen: Collection[str], embedded: Sequence[str]) -> dict[str, Any]:
    """What pretraining in this workflow saw, as the metadata of embeddings tells it.

    Args:
        seen: ids of the slides that were pretrained on.
        embedded: ids of the slides that are embedded.

    Returns:
        `saw`: `none`, `all` where no embedded slide was kept from pretraining, or the ids in order; `n_saw` and
        `saw_digest`, their number and digest.
    """
    ids = sorted(seen)
    saw: str | list[str] = "none" if not ids else "all" if set(ids) >= set(embedded) else ids
    return {"saw": saw, "n_saw": len(ids), "saw_digest": value_digest(ids)}


def save_embeddings(
    regions_path: str,
    slides_path: str,
    vectors: np.ndarray,
    slide_ids: Sequence[str],
    counts: np.ndarray,
    region_ids: Sequence[str],
    pretrained_on: str,
    slide_vectors: np.ndarray | None = None,
    seen: Mapping[str, Any] | None = None,
) -> None:
    """Write region vectors and slide vectors.

    Args:
        regions_path: Parquet file of the regions' vectors.
        slides_path: Parquet file of the slides' vectors.
        vectors: float32 `[N, d]`, slides contiguous.
        slide_ids: S ids.
        counts: int64 `[S]`, regions of each slide.
        region_ids: N ids.
        pretrained_on: data that the representation has seen, stated beside every result.
        slide_vectors: float32 `[S, D]`; None takes the mean over each slide's regions (HIPT's slide-level evaluation).
        seen: `seen_facts` of its pretraining in this workflow; None where there was none.
    """
    meta = {"pretrained_on": pretrained_on, "dim": int(vectors.shape[1]), **(seen or seen_facts([], slide_ids))}
    if slide_vectors is None:
        slide_vectors = slide_means(vectors, counts).astype(np.float32)
    owners = np.repeat(np.asarray(slide_ids, dtype=object), counts).tolist()
    region_rows = {"slide_id": owners, "region_id": list(region_ids), "vector": list(vectors)}
    write_table(regions_path, region_rows, REGION_EMBEDDINGS, meta)
    slide_rows = {"slide_id": list(slide_ids), "vector": list(slide_vectors)}
    write_table(slides_path, slide_rows, SLIDE_EMBEDDINGS, meta)
