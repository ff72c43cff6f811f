"""The slides of a model's cohort as sets of prototypes: the nearest of a new slide, by the rounds' own similarity.

Files of a model's folder: `prototypes.parquet`, the last clustering's sets, and `slides.parquet`, the slides' vectors.
"""

from collections.abc import Collection, Iterator
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from workflow_scripts.config import Neighbours
from workflow_scripts.config.model_folder import PROTOTYPES, require_files
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.matching import optimal_matchings
from workflow_scripts.core.model_facts import read_facts
from workflow_scripts.core.tables import read_table
from workflow_scripts.slpd.neighbours import unit_prototypes
from workflow_scripts.slpd.round_tables import read_prototypes

SLIDES = "slides.parquet"
_BYTES = 2**24  # cosines and prototypes in float64 of the slides that are compared at once
_DECIMALS = 12  # to which cosines are compared, as in core.matching


class Match(NamedTuple):
    """A near slide of the cohort.

    Attributes:
        slide_id: which.
        similarity: S(i, j) of `core.matching`, the sum of M cosines, at most M.
        matching: int64 `[M]`, own prototype -> the near slide's prototype.
    """

    slide_id: str
    similarity: float
    matching: np.ndarray


class NearestPrototypes(NamedTuple):
    """The cohort's prototype that is nearest to each of N regions.

    Attributes:
        slide: int64 `[N]`, whose it is, an index into `SlideIndex.slide_ids`.
        prototype: int64 `[N]`, its number within that slide.
        similarity: float32 `[N]`, cosine.
    """

    slide: np.ndarray
    prototype: np.ndarray
    similarity: np.ndarray


class SlideIndex:
    """S slides of a cohort with M prototypes of d dimensions each; searched exactly.

    Example::

        index = SlideIndex.load("results/demo/pretrain/slpd/model")
        index.nearest("demo_01", 5)  # a slide of the cohort, or the prototypes [M, d] of any slide

    Attributes:
        slide_ids: S ids; slides with too few regions have no prototypes and are not among them.
        sets: float32 `[S, M, d]`, prototypes of any length.
        matching: how a near slide's prototypes answer to one's own: `optimal`, or `argmax` as published.
        vectors: float32 `[S, dim]`, the slides' vectors (mean region embeddings), or None where there are none.
    """

    def __init__(
        self, slide_ids: list[str], sets: np.ndarray, matching: str = "optimal", vectors: np.ndarray | None = None
    ) -> None:
        self.slide_ids, self.sets, self.matching, self.vectors = slide_ids, sets, matching, vectors

    @classmethod
    def load(cls, folder: str | Path) -> "SlideIndex":
        """Load a model's folder.

        Raises:
            UserError: the model has no prototypes of slides, or was exported before they were stored with it.
        """
        require_files(folder, [PROTOTYPES])
        table = read_table(Path(folder) / PROTOTYPES)
        slide_ids = list(dict.fromkeys(table["slide_id"].to_pylist()))
        sets = read_prototypes(table, None, slide_ids, []).vectors
        settings = Neighbours.model_validate(read_facts(folder)["settings"]["neighbours"])
        return cls(slide_ids, sets, settings.matching, _read_vectors(Path(folder) / SLIDES, slide_ids))

    def nearest(self, slide: np.ndarray | str, k: int = 5, leave_out: Collection[str] = ()) -> list[Match]:
        """The k nearest slides, the nearest first; those that agree to ten decimals rank by their place.

        Args:
            slide: its prototypes `[M, d]`, of any length, or the id of a slide of the cohort, which is not its own
                neighbour.
            k: how many; fewer where there are fewer.
            leave_out: ids of slides that are not to be found, such as the patient's others.

        Raises:
            UserError: a slide of the cohort that has no prototypes, or prototypes of another shape.
        """
        hidden = {*leave_out, *([slide] if isinstance(slide, str) else [])}
        prototypes = self.sets[self._place(slide)] if isinstance(slide, str) else slide
        if prototypes.shape != self.sets.shape[1:]:
            raise UserError(
                f"the prototypes are {list(prototypes.shape)}; this model compares {list(self.sets.shape[1:])}"
            )
        candidates = np.array([i for i, name in enumerate(self.slide_ids) if name not in hidden], dtype=np.int64)
        own = unit_prototypes(prototypes[None], np.zeros(1, dtype=np.int64))[:, 0].astype(np.float64)
        parts = [(rows, *self._compare(own, rows)) for rows in self._parts(candidates)]
        found = [Match(self.slide_ids[i], float(s), m) for part in parts for i, s, m in zip(*part, strict=True)]
        return sorted(found, key=lambda match: -match.similarity)[:k]

    def nearest_prototypes(self, regions: np.ndarray) -> NearestPrototypes:
        """Of all S * M prototypes the one with the largest cosine, the first of equally near ones.

        Args:
            regions: `[N, d]` features of the kind that was clustered, of any length.
        """
        m = self.sets.shape[1]
        flat = self._unit.transpose(1, 0, 2).reshape(-1, self.sets.shape[2]).astype(np.float64)
        lengths = np.linalg.norm(regions.astype(np.float64), axis=1, keepdims=True)
        unit = regions / np.where(lengths > 0, lengths, 1)
        best, similarity = np.zeros(len(regions), dtype=np.int64), np.zeros(len(regions))
        step = max(1, _BYTES // (8 * len(flat)))
        for start in range(0, len(regions), step):
            cosines = np.round(unit[start : start + step] @ flat.T, _DECIMALS)
            best[start : start + step] = cosines.argmax(axis=1)
            similarity[start : start + step] = cosines.max(axis=1)
        return NearestPrototypes(best // m, best % m, similarity.astype(np.float32))

    @cached_property
    def _unit(self) -> np.ndarray:
        """Float32 `[M, S, d]`, unit prototypes as the rounds compare them."""
        return unit_prototypes(self.sets, np.arange(len(self.sets)))

    def _place(self, slide_id: str) -> int:
        if slide_id not in self.slide_ids:
            raise UserError(f"slide {slide_id} is none of the cohort's {len(self.slide_ids)} slides with prototypes")
        return self.slide_ids.index(slide_id)

    def _parts(self, candidates: np.ndarray) -> Iterator[np.ndarray]:
        _, m, d = self.sets.shape
        step = max(1, _BYTES // (8 * m * (m + d)))
        return (candidates[start : start + step] for start in range(0, len(candidates), step))

    def _compare(self, own: np.ndarray, slides: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Similarities float64 `[P]` and matchings int64 `[P, M]` of unit prototypes float64 `[M, d]`."""
        others = self._unit[:, slides].transpose(1, 0, 2).astype(np.float64, order="C")
        cosines = own @ others.transpose(0, 2, 1)
        similarity, matching = optimal_matchings(cosines)
        if self.matching == "argmax":
            matching = np.round(cosines, _DECIMALS).argmax(axis=2)
        return similarity, matching


def _read_vectors(path: Path, slide_ids: list[str]) -> np.ndarray | None:
    """Vectors `[S, dim]` of the given slides; None where there is no such table."""
    if not path.is_file():
        return None
    rows = {row["slide_id"]: row["vector"] for row in read_table(path).to_pylist()}
    return np.array([rows[name] for name in slide_ids], dtype=np.float32)
