"""The index of a cohort's regions, slides by the cosine of their vectors, and tables of what was found as text."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from workflow_scripts.core.errors import UserError
from workflow_scripts.search.region_index import RegionIndex
from workflow_scripts.search.region_vectors import read_region_vectors

_DECIMALS = 10  # cosines equal to so many are ties


class Similar(NamedTuple):
    """A slide that was found.

    Attributes:
        slide_id: which.
        similarity: cosine of the vectors, or the mean of those of the matched prototypes, in [-1, 1].
        matching: int64 `[M]`, its prototype that answers to each of the query's; nothing where vectors were compared.
    """

    slide_id: str
    similarity: float
    matching: Sequence[int] | np.ndarray = ()


def region_index(folder: Path, made: Path) -> RegionIndex:
    """The index of a folder of embeddings.

    Args:
        folder: of the embeddings.
        made: the index that the target search_index has put into the model of a run; a new one is made in memory where
            there is none or it is older than the embeddings.

    Raises:
        UserError: there are no such embeddings, or they have no vectors of regions.
    """
    regions = folder / "regions.parquet"
    if not regions.is_file():
        runs = sorted(found.parent.name for found in folder.parent.glob("*/regions.parquet"))
        there = f"there are {', '.join(runs)}" if runs else "run the target embed first"
        raise UserError(f"{regions} does not exist; name embeddings as --run: {there}")
    if made.is_file() and made.stat().st_mtime >= regions.stat().st_mtime:
        return RegionIndex.load(made)
    return RegionIndex.build(*read_region_vectors(regions), approximate=False, overwrite=True)


def similar_by_vector(
    vectors: np.ndarray, slide_ids: Sequence[str], slide: str, own: Sequence[str], k: int
) -> list[Similar]:
    """The k slides whose vectors have the largest cosines with a slide's, the first of equally like ones first.

    Args:
        vectors: `[S, d]` of any length; cosines with a vector of zeros are 0.
        slide_ids: S ids.
        slide: the slide that asks, one of them.
        own: ids of slides that are not found, such as its patient's.
        k: how many; fewer where there are fewer.
    """
    wide = vectors.astype(np.float64)
    length = np.linalg.norm(wide, axis=1, keepdims=True)
    unit = wide / np.where(length > 0, length, 1)
    others = np.flatnonzero(~np.isin(slide_ids, [*own, slide]))
    cosines = np.round(unit[others] @ unit[list(slide_ids).index(slide)], _DECIMALS)
    order = np.argsort(-cosines, kind="stable")[:k]
    return [Similar(slide_ids[others[i]], float(cosines[i])) for i in order]


def slide_table(found: Sequence[Similar], patients: dict[str, str]) -> str:
    """Slides that were found, the most like first; their prototypes where these were matched."""
    lines = [
        (str(rank), one.slide_id, patients.get(one.slide_id, ""), f"{one.similarity:.3f}", *_words(one.matching))
        for rank, one in enumerate(found, start=1)
    ]
    heading = ("rank", "slide", "patient", "similarity", "prototypes")
    return text_table(heading[: len(lines[0]) if lines else 4], lines)


def _words(matching: Sequence[int] | np.ndarray) -> list[str]:
    return [" ".join(map(str, matching))] if len(matching) else []


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
