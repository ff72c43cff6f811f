"""The slides of a model's cohort as sets of prototypes: the nearest of a new slide, by the rounds' own similarity.

They are `prototypes.parquet` of a model's folder, the last clustering's sets.
"""

from collections.abc import Collection, Iterator
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from workflow_scripts.config.model_folder import PROTOTYPES, model_settings, require_files
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.matching import optimal_matchings
from workflow_scripts.core.model_facts import DIGEST, require_same_model
from workflow_scripts.core.tables import read_meta, read_table
from workflow_scripts.slpd.neighbours import unit_prototypes
from workflow_scripts.slpd.round_tables import read_prototypes

_BYTES = 2**24  # cosines and prototypes in float64 of the slides, or cosines of regions, that are compared at once
_PROTOTYPES = 2**12  # that regions are compared with at once
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
    """

    def __init__(self, slide_ids: list[str], sets: np.ndarray, matching: str = "optimal") -> None:
        self.slide_ids, self.sets, self.matching = slide_ids, sets, matching

    @classmethod
    def load(cls, folder: str | Path) -> "SlideIndex":
        """Load a model's folder.

        Raises:
            UserError: the model has no prototypes of slides, or was exported before they were stored with it; or its
                files are damaged, or of several trainings.
        """
        require_files(folder, [PROTOTYPES])
        table = _read_of_model(folder, PROTOTYPES)
        slide_ids = list(dict.fromkeys(table["slide_id"].to_pylist()))
        sets = read_prototypes(table, None, slide_ids, []).vectors
        return cls(slide_ids, sets, model_settings(folder).neighbours.matching)

    def nearest(self, slide: np.ndarray | str | None, k: int = 5, leave_out: Collection[str] = ()) -> list[Match]:
        """The k nearest slides, the nearest first; those that agree to ten decimals rank by their place.

        Args:
            slide: its prototypes `[M, d]`, of any length, or the id of a slide of the cohort, which is not its own
                neighbour.
            k: how many; fewer where there are fewer.
            leave_out: ids of slides that are not to be found, such as the patient's others.

        Raises:
            UserError: a slide that has no prototypes, prototypes of another shape or that are not finite, or k below 1.
        """
        if k < 1:
            raise UserError(f"k is {k}; ask for at least one slide")
        if slide is None:
            raise UserError("a slide with too few regions has no prototypes (None), by which slides are compared")
        hidden = {*leave_out, *([slide] if isinstance(slide, str) else [])}
        prototypes = self.sets[self._place(slide)] if isinstance(slide, str) else slide
        if prototypes.shape != self.sets.shape[1:]:
            raise UserError(
                f"the prototypes are {list(prototypes.shape)}; this model compares {list(self.sets.shape[1:])}"
            )
        if not np.isfinite(prototypes).all():
            raise UserError("the slide's prototypes hold NaN or infinity; extract its features again")
        candidates = np.array([i for i, name in enumerate(self.slide_ids) if name not in hidden], dtype=np.int64)
        own = unit_prototypes(prototypes[None], np.zeros(1, dtype=np.int64))[:, 0].astype(np.float64)
        parts = [(rows, *self._compare(own, rows)) for rows in self._parts(candidates)]
        found = [Match(self.slide_ids[i], float(s), m) for part in parts for i, s, m in zip(*part, strict=True)]
        return sorted(found, key=lambda match: -match.similarity)[:k]

    def nearest_prototypes(self, regions: np.ndarray) -> NearestPrototypes:
        """Of all S * M prototypes the one with the largest cosine, the first of those equal to twelve decimals.

        Args:
            regions: `[N, d]` features of the kind that was clustered, of any length.

        Raises:
            UserError: regions of another width than the prototypes, or that are not finite.
        """
        _, m, d = self.sets.shape
        if regions.ndim != 2 or regions.shape[1] != d:
            raise UserError(f"the regions are {list(regions.shape)}; this model compares [regions, {d}]")
        if not np.isfinite(regions).all():
            raise UserError("the slide's regions hold NaN or infinity; extract its features again")
        lengths = np.linalg.norm(regions.astype(np.float64), axis=1, keepdims=True)
        unit, flat = regions / np.where(lengths > 0, lengths, 1), self._unit.reshape(-1, d)
        best, similarity = np.zeros(len(unit), dtype=np.int64), np.full(len(unit), -np.inf)
        step = max(1, _BYTES // (8 * _PROTOTYPES))
        for rows in (slice(start, start + step) for start in range(0, len(unit), step)):
            _raise_best(unit[rows], flat, best[rows], similarity[rows])
        return NearestPrototypes(best // m, best % m, similarity.astype(np.float32))

    @cached_property
    def _unit(self) -> np.ndarray:
        """Float32 `[S, M, d]`, unit prototypes as the rounds compare them."""
        return np.ascontiguousarray(unit_prototypes(self.sets, np.arange(len(self.sets))).transpose(1, 0, 2))

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
        others = self._unit[slides].astype(np.float64)
        cosines = own @ others.transpose(0, 2, 1)
        similarity, matching = optimal_matchings(cosines)
        if self.matching == "argmax":
            matching = np.round(cosines, _DECIMALS).argmax(axis=2)
        return similarity, matching


def _raise_best(unit: np.ndarray, flat: np.ndarray, best: np.ndarray, similarity: np.ndarray) -> None:
    """Find the largest cosine of each of N regions among P prototypes, and the first prototype that has it.

    Float32 tells which regions may find a larger one in a part of the prototypes, within rounding; these are compared
    in float64.

    Args:
        unit: float64 `[N, d]`, of length 1.
        flat: float32 `[P, d]`, of length 1.
        best: int64 `[N]`, the result.
        similarity: float64 `[N]`, the result; below every cosine before.
    """
    rough = unit.astype(np.float32)
    # a sum of d products in float32, in any order, of vectors that were rounded to it: Higham 2002, section 3.1
    error = 2 * (unit.shape[1] + 4) * np.finfo(np.float32).eps
    for start in range(0, len(flat), _PROTOTYPES):
        part = flat[start : start + _PROTOTYPES]
        rows = np.flatnonzero((rough @ part.T).max(axis=1) >= similarity - error)
        cosines = np.round(unit[rows] @ part.astype(np.float64).T, _DECIMALS)
        first = cosines.argmax(axis=1)
        largest = cosines[np.arange(len(rows)), first]
        more = largest > similarity[rows]
        similarity[rows[more]], best[rows[more]] = largest[more], start + first[more]


def _read_of_model(folder: str | Path, name: str) -> pa.Table:
    """A table of a model's folder, which belongs to that model."""
    path = Path(folder) / name
    try:
        table, meta = read_table(path), read_meta(path)
    except (UserError, OSError, ValueError, pa.ArrowException) as error:
        raise UserError(
            f"{path} is damaged or cut short ({error.__cause__ or error}); copy the model's folder anew, or run the "
            "workflow of its cohort again (target embed)"
        ) from None
    require_same_model(folder, meta.get(DIGEST), path)
    return table
