"""What a bag is: a slide, or all slides of a patient together; and what is true of it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from workflow_scripts.core.labels import Labels
from workflow_scripts.core.tasks import Kind
from workflow_scripts.mil.bags import Bags, JoinedBags, patient_weights, target_array
from workflow_scripts.mil.predictions import PREDICTIONS, TRUTH_COLUMNS

# One row a labelled slide that is in some split: what its task says is true of it.
LABELS = pa.schema([PREDICTIONS.field(name) for name in ("slide_id", "patient_id", *TRUTH_COLUMNS)])


def label_columns(labels: Labels) -> dict[str, list[Any]]:
    """Columns of `LABELS`; those of other kinds than the task's own are null."""
    parts = [value if isinstance(value, tuple) else (value,) for value in labels.values]
    known: dict[str, list[Any]] = {
        column.name: [part[i] for part in parts] for i, column in enumerate(labels.kind.truth)
    }
    known |= {"slide_id": labels.slide_ids, "patient_id": labels.patient_ids}
    return {name: known.get(name, [None] * len(parts)) for name in LABELS.names}


class Units(NamedTuple):
    """Bags with what is true of them.

    Attributes:
        bags: n bags.
        truth: a row of `LABELS` a bag; without slide_id where it is all slides of a patient.
        bag_of: number of the bag of each slide.
        regions: slide_id and region_id of the instances, bags one after another; None where they are no regions.
    """

    bags: Bags
    truth: pa.Table
    bag_of: dict[str, int]
    regions: pa.Table | None = None


def make_units(
    labels: pa.Table,
    kind: Kind,
    classes: list[str],
    by_patient: bool,
    vectors: np.ndarray,
    matrices: Sequence[np.ndarray],
    times: Sequence[float] = (),
    regions: pa.Table | None = None,
) -> Units:
    """Bags of a task's slides.

    Of a patient's bag the vector is the mean of its slides' vectors, and the regions are those of all its slides.

    Args:
        labels: rows of `LABELS`.
        kind: kind of the task.
        classes: class names in order; empty for kinds without classes.
        by_patient: whether all slides of a patient are one bag.
        vectors: of the slides of `labels`, float32 `[S, D]`.
        matrices: regions of each, S matrices `[m_i, R]`, which are not read here.
        times: at which survival probabilities are asked for.
        regions: slide_id and region_id of the rows of the matrices, one after another; None where they are no regions.
    """
    slide_ids, patients = (labels[name].to_pylist() for name in ("slide_id", "patient_id"))
    owners = patients if by_patient else slide_ids
    names, first, bag = np.unique(np.array(owners, dtype=str), return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")  # bags in the order of the labels
    first, bag = first[order], np.argsort(order, kind="stable")[bag]
    members = [np.flatnonzero(bag == number) for number in range(len(names))] if by_patient else first[:, None]
    truth = labels.take(pa.array(first))
    if by_patient:
        truth = truth.set_column(0, "slide_id", pa.nulls(len(truth), pa.string()))
    columns = [truth[column.name].to_pylist() for column in kind.truth]
    values = columns[0] if len(columns) == 1 else list(zip(*columns, strict=True))
    owner, joined = truth["patient_id"].to_pylist(), JoinedBags(matrices, members)
    bags = Bags(
        np.stack([vectors[rows].mean(axis=0) for rows in members]),
        joined,
        target_array(kind, values, classes),
        len(classes),
        patient_weights(owner),
        owner,
        np.asarray(times, dtype=np.float64),
    )
    ordered = None if regions is None else regions.take(pa.array(joined.rows()))
    return Units(bags, truth, dict(zip(slide_ids, bag.tolist(), strict=True)), ordered)
