"""Bags: a slide as one vector and as the matrix of its regions' vectors, with its label."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
import pyarrow as pa

from workflow_scripts.core.bags import LazyBags
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.tasks import Kind, Label
from workflow_scripts.core.vectors import vectors_of

_NO_EMBEDDING = "{} has no embedding of slide {}, which the splits list; run embed again"


@runtime_checkable
class _KnowsLengths(Protocol):
    def lengths(self) -> np.ndarray: ...


def bag_lengths(bags: Sequence[np.ndarray]) -> np.ndarray:
    """Rows of each bag, int64 `[n]`; bags that are read when they are asked for tell it without."""
    return bags.lengths() if isinstance(bags, _KnowsLengths) else np.array([len(bag) for bag in bags], dtype=np.int64)


class JoinedBags(LazyBags[list[int]]):
    """Bags made of others, one or several one after another, when they are asked for: none is held here."""

    def __init__(self, parts: Sequence[np.ndarray], members: Iterable[Iterable[int]]) -> None:
        """n bags of the parts `members`, matrices `[m_i, R]`."""
        super().__init__([int(row) for row in rows] for rows in members)
        self.parts = parts

    def read(self, key: list[int]) -> np.ndarray:
        """The parts of these places one after another, `[m, R]`."""
        found = [self.parts[row] for row in key]
        return found[0] if len(found) == 1 else np.concatenate(found)

    def lengths(self) -> np.ndarray:
        """Rows of each bag, int64 `[n]`."""
        lengths = bag_lengths(self.parts)
        return np.array([lengths[rows].sum() for rows in self.keys], dtype=np.int64)

    def rows(self) -> np.ndarray:
        """Row of each instance, bags one after another, among the rows of all parts one after another, int64."""
        lengths = bag_lengths(self.parts)
        starts = np.cumsum(lengths) - lengths
        return np.concatenate([np.arange(starts[p], starts[p] + lengths[p]) for key in self.keys for p in key])


@dataclass(frozen=True)
class Bags:
    """Embeddings and labels of n slides.

    Attributes:
        vectors: float32 `[n, D]`, one vector a slide.
        regions: n matrices `[m_i, R]`, one row a region, m_i >= 1: float32, or patches as stored (float16), which are
            read when they are asked for.
        target: labels `[n]` as `target_array` makes them: int64 class indices; for survival the fields `time` (float64)
            and `event` (bool).
        n_classes: number of classes C; 0 for kinds of task without classes.
        weights: what each slide counts in training, float64 `[n]`: 1 / slides of its patient, so that patients count
            alike. Each counts 1 unless given.
        patients: patient of each slide, `[n]`. Each slide is a patient's only one unless given.
        times: at which survival probabilities are asked for, float64 `[T]`, in the unit of the target; may be empty.
    """

    vectors: np.ndarray
    regions: Sequence[np.ndarray]
    target: np.ndarray
    n_classes: int
    weights: np.ndarray = field(default_factory=lambda: np.empty(0))
    patients: list[str] = field(default_factory=list)
    times: np.ndarray = field(default_factory=lambda: np.empty(0))

    def __post_init__(self) -> None:
        if not len(self.weights):
            object.__setattr__(self, "weights", np.ones(len(self)))
        if not self.patients:
            object.__setattr__(self, "patients", [str(i) for i in range(len(self))])

    def __len__(self) -> int:
        return len(self.vectors)

    def take(self, index: np.ndarray) -> "Bags":
        """Slides `index` (integers or a mask)."""
        index = np.arange(len(self))[index]
        regions, patients = JoinedBags(self.regions, index[:, None]), [self.patients[i] for i in index]
        target, weights = self.target[index], self.weights[index]
        return Bags(self.vectors[index], regions, target, self.n_classes, weights, patients, self.times)


def patient_weights(patients: Sequence[str]) -> np.ndarray:
    """1 / slides of the patient for each slide, float64 `[n]`, so that every patient counts 1."""
    _, place, counts = np.unique(np.asarray(patients, dtype=str), return_inverse=True, return_counts=True)
    return 1.0 / counts[place]


def target_array(kind: Kind, labels: Sequence[Label], classes: list[str]) -> np.ndarray:
    """Labels as an array `[n]`: class indices (int64), or what the kind's columns hold, as fields if there are several.

    Args:
        kind: kind of the task.
        labels: n labels, as the kind reads them.
        classes: class names in order; empty for kinds without classes.
    """
    if kind.has_classes:
        place = {name: index for index, name in enumerate(classes)}
        return np.array([place[str(label)] for label in labels], dtype=np.int64)
    if len(kind.truth) == 1:
        return np.array(labels, dtype=kind.truth[0].type)
    return np.array(labels, dtype=[(column.name, column.type) for column in kind.truth])


def vector_matrix(table: pa.Table, source: str) -> np.ndarray:
    """Column `vector` of an embeddings table as float32 `[n, D]`.

    Raises:
        UserError: the vectors have different lengths, or hold NaN or infinity; `source` names the file.
    """
    lengths = np.unique(table["vector"].combine_chunks().value_lengths().to_numpy(zero_copy_only=False))
    if len(lengths) > 1:
        raise UserError(
            f"{source}: vectors have different lengths ({lengths[0]:g} to {lengths[-1]:g}); run embed again"
        )
    matrix = vectors_of(table)
    wrong = np.flatnonzero(~np.isfinite(matrix).all(axis=1))
    if len(wrong):
        slide = table["slide_id"][int(wrong[0])].as_py()
        raise UserError(f"{source}: a vector of slide {slide} is not finite; run embed again, or exclude the slide")
    return matrix


def pair_embeddings(
    slide_ids: list[str], slides: pa.Table, regions: pa.Table, source: str
) -> tuple[np.ndarray, list[np.ndarray], pa.Table]:
    """Slide vectors and region matrices of the wanted slides, in their order, and which regions those are.

    Args:
        slide_ids: S wanted slides.
        slides: rows of `schemas.SLIDE_EMBEDDINGS`.
        regions: rows of `schemas.REGION_EMBEDDINGS`.
        source: folder of both tables, for messages.

    Returns:
        float32 `[S, D]`, S matrices float32 `[m_i, R]`, regions in the table's order, and slide_id and region_id of
        their rows, one after another.

    Raises:
        UserError: a wanted slide has no vector or no region.
    """
    owners = np.array(regions["slide_id"].to_pylist(), dtype=object)
    rows_of: dict[str, list[int]] = {}
    for row, owner in enumerate(owners):
        rows_of.setdefault(owner, []).append(row)
    vectors = slide_vectors(slide_ids, slides, source)
    for name in slide_ids:
        if name not in rows_of:
            raise UserError(_NO_EMBEDDING.format(source, name))
    matrix = vector_matrix(regions, f"{source}/regions.parquet")
    wanted = np.concatenate([np.array(rows_of[name], np.int64) for name in slide_ids])
    named = regions.select(["slide_id", "region_id"]).take(pa.array(wanted))
    return vectors, [_rows(matrix, rows_of[name]) for name in slide_ids], named


def _rows(matrix: np.ndarray, rows: list[int]) -> np.ndarray:
    """Rows of a matrix, not copied where they follow each other."""
    return matrix[rows[0] : rows[-1] + 1] if rows[-1] - rows[0] + 1 == len(rows) else matrix[rows]


def slide_vectors(slide_ids: list[str], slides: pa.Table, source: str) -> np.ndarray:
    """Vectors of the wanted slides in their order, float32 `[S, D]`; arguments and errors as `pair_embeddings`."""
    position = {name: i for i, name in enumerate(slides["slide_id"].to_pylist())}
    for name in slide_ids:
        if name not in position:
            raise UserError(_NO_EMBEDDING.format(source, name))
    return vector_matrix(slides, f"{source}/slides.parquet")[[position[name] for name in slide_ids]]
