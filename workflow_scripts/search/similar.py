"""Slides like a slide, by the best one-to-one matching of their prototypes, and tables of what was found as text."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from workflow_scripts.core.matching import optimal_matchings


class Similar(NamedTuple):
    """A slide that was found.

    Attributes:
        slide: its number.
        similarity: mean cosine of the matched prototypes, in [-1, 1].
        matching: int64 `[M]`, its prototype that answers to each of the query's.
    """

    slide: int
    similarity: float
    matching: np.ndarray


def similar_slides(sets: np.ndarray, query: int, kept: np.ndarray, k: int) -> list[Similar]:
    """The k slides that are most like one of n, the most like first; of equally like ones the first.

    Args:
        sets: `[n, M, d]` prototypes of any length; with M of 1 the likeness is the cosine of slide vectors.
        query: number of the slide.
        kept: slides that may be found, bool `[n]`.
        k: how many.
    """
    length = np.linalg.norm(sets.astype(np.float64), axis=2, keepdims=True)
    unit = sets / np.where(length > 0, length, 1)
    others = np.flatnonzero(kept)
    sums, matching = optimal_matchings(np.einsum("md,nkd->nmk", unit[query], unit[others]))
    order = np.argsort(-sums, kind="stable")[:k]
    return [Similar(int(others[i]), float(sums[i]) / sets.shape[1], matching[i]) for i in order]


def region_lines(
    rows: np.ndarray, cosines: np.ndarray, slide_ids: Sequence[str], region_ids: Sequence[str]
) -> list[tuple[str, ...]]:
    """Nearest regions as lines: number of the query, rank, slide, region and cosine.

    Args:
        rows: int64 `[q, k]` of the regions; -1 for none.
        cosines: `[q, k]`.
        slide_ids: of all regions.
        region_ids: of all regions.
    """
    return [
        (str(query), str(rank), slide_ids[row], region_ids[row], f"{cosine:.3f}")
        for query, (mine, near) in enumerate(zip(rows, cosines, strict=True))
        for rank, (row, cosine) in enumerate(zip(mine, near, strict=True), start=1)
        if row >= 0
    ]


def text_table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows under a heading, columns aligned."""
    lines = [list(heading), *map(list, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heading))]
    return "\n".join("  ".join(text.ljust(w) for text, w in zip(line, widths, strict=True)).rstrip() for line in lines)
