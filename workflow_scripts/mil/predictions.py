"""Predictions of test slides: their table, and what was true and predicted of each case that is scored."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from workflow_scripts.core.tasks import KINDS, Column, Kind
from workflow_scripts.mil.bags import target_array
from workflow_scripts.mil.metrics import Outcomes


def _field(column: Column) -> pa.Field:
    inner = column.type.removeprefix("list<").removesuffix(">")
    scalar = pa.type_for_alias(inner)
    return pa.field(column.name, scalar if inner == column.type else pa.list_(scalar))


# Columns of all kinds, the truth before the predictions; those of other kinds than a task's own are null.
_TRUTH = list(dict.fromkeys(column for kind in KINDS.values() for column in kind.truth))
_CURVES = [kind.curve for kind in KINDS.values() if kind.curve]
_PREDICTED = list(dict.fromkeys([*(kind.prediction for kind in KINDS.values()), *_CURVES]))
TRUTH_COLUMNS = [column.name for column in _TRUTH]


# One row a head, split, head seed and test slide; or test patient, where all slides of a patient are one bag.
PREDICTIONS = pa.schema(
    [
        pa.field("head", pa.string()),
        pa.field("budget", pa.string()),
        pa.field("repeat", pa.int32()),
        pa.field("fold", pa.int32()),
        pa.field("seed", pa.int32()),
        pa.field("slide_id", pa.string()),
        pa.field("patient_id", pa.string()),
        *map(_field, [*_TRUTH, *_PREDICTED]),
    ]
)


class Predicted(NamedTuple):
    """Predictions of one fit: where it stands, indices of the test bags int64 `[n]`, and `[n, C]` or `[n]` values.

    Where the kind has a curve, `[n, 1 + T]` are the value and the curve at T times.
    """

    budget: str
    repeat: int
    fold: int
    seed: int
    bags: np.ndarray
    values: np.ndarray


def prediction_table(head: str, kind: Kind, truth: pa.Table, tests: Iterable[Predicted]) -> pa.Table:
    """Rows of `PREDICTIONS` of one head.

    Args:
        head: its name.
        kind: kind of the task.
        truth: a row a bag: slide_id, patient_id and the kind's columns `truth`.
        tests: of all its fits.
    """
    tables = []
    for test in tests:
        n = len(test.bags)
        table = truth.take(pa.array(test.bags))
        facts = {"head": head, "budget": test.budget, "repeat": test.repeat, "fold": test.fold, "seed": test.seed}
        columns = {name: pa.array([value] * n, PREDICTIONS.field(name).type) for name, value in facts.items()}
        columns |= {name: table[name].combine_chunks() for name in table.column_names}
        columns |= _predicted(kind, test.values)
        missing = {field.name: pa.nulls(n, field.type) for field in PREDICTIONS if field.name not in columns}
        tables.append(pa.table({field.name: (columns | missing)[field.name] for field in PREDICTIONS}, PREDICTIONS))
    return pa.concat_tables(tables) if tables else PREDICTIONS.empty_table()


def _predicted(kind: Kind, values: np.ndarray) -> dict[str, pa.Array]:
    """Columns of the predictions of one fit."""
    parts = {kind.prediction: values}
    if kind.curve and values.ndim == 2:
        parts = {kind.prediction: values[:, 0], kind.curve: values[:, 1:]}
    return {column.name: pa.array(part.tolist(), _field(column).type) for column, part in parts.items()}


class Round(NamedTuple):
    """Tests of one repeat and head seed: cases int64 `[n]` (indices of `Tested.cases`), their folds, and outcomes."""

    repeat: int
    seed: int
    case: np.ndarray
    fold: np.ndarray
    outcomes: Outcomes


@dataclass(frozen=True)
class Tested:
    """All that was predicted by one head in one budget.

    Attributes:
        cases: N ids of what is scored, sorted: patients, or slides where labels are by slide.
        patients: int64 `[N]`: number of the patient of each case, from 0.
        patient_ids: ids of the patients by number.
        labels: N labels, as the kind reads them.
        rounds: in order of repeat and seed. Predictions of a patient's slides are averaged within a fit, never over
            fits: models of different folds are no ensemble.
    """

    cases: list[str]
    patients: np.ndarray
    patient_ids: list[str]
    labels: list[Any]
    rounds: list[Round]


def read_tested(table: pa.Table, kind: Kind, classes: list[str], by_slide: bool, times: Sequence[float] = ()) -> Tested:
    """Cases and their predictions from rows of `PREDICTIONS` of one head and budget.

    Args:
        table: the rows.
        kind: kind of the task.
        classes: class names in the order of the predictions; empty for kinds without classes.
        by_slide: whether slides are scored one by one.
        times: at which the kind's curves are predicted.

    Raises:
        ValueError: a prediction is missing, NaN or infinite.
    """
    owners = np.array(table["patient_id"].to_pylist(), dtype=str)
    names = np.array(table["slide_id" if by_slide else "patient_id"].to_pylist(), dtype=str)
    cases, first, case = np.unique(names, return_index=True, return_inverse=True)
    patient_ids, patients = np.unique(owners[first], return_inverse=True)
    truth = [table[column.name].to_pylist() for column in kind.truth]
    labels = [truth[0][i] if len(truth) == 1 else tuple(column[i] for column in truth) for i in first]
    target = target_array(kind, labels, classes)
    values = _values(table[kind.prediction.name])
    curves = _values(table[kind.curve.name]) if kind.curve else np.empty((len(table), 0))
    if curves.shape[1] not in (0, len(times)):
        raise ValueError(f"there are predictions for {curves.shape[1]} times, and {len(times)} times")
    repeat, fold, seed = (table[name].to_numpy() for name in ("repeat", "fold", "seed"))
    keys, of_round = np.unique(np.stack([repeat, seed], axis=1), axis=0, return_inverse=True)
    rounds = []
    for number, (which, chance) in enumerate(keys.tolist()):
        rows = np.flatnonzero(of_round == number)
        fits, place, counts = np.unique(
            np.stack([fold[rows], case[rows]], axis=1), axis=0, return_inverse=True, return_counts=True
        )
        means, curve = (_means(part[rows], place, counts) for part in (values, curves))
        outcomes = Outcomes(target[fits[:, 1]], means, np.asarray(times, dtype=np.float64), curve)
        rounds.append(Round(which, chance, fits[:, 1], fits[:, 0], outcomes))
    return Tested(cases.tolist(), patients, patient_ids.tolist(), labels, rounds)


def _means(values: np.ndarray, place: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Means of the rows `[n, ...]` of each place, `[len(counts), ...]`."""
    total = np.zeros((len(counts), *values.shape[1:]))
    np.add.at(total, place, values)
    return total / counts.reshape(-1, *[1] * (values.ndim - 1))


def _values(column: pa.ChunkedArray) -> np.ndarray:
    """Predictions float64 `[n, C]` or `[n]`; a null is NaN, and lists that are all null are `[n, 0]`."""
    array = column.combine_chunks()
    if not pa.types.is_list(array.type):
        return np.asarray(array.to_numpy(zero_copy_only=False), dtype=np.float64)
    if 0 < array.null_count < len(array):
        raise ValueError(f"{array.null_count} of {len(array)} predictions are missing")
    flat = np.asarray(array.flatten().to_numpy(zero_copy_only=False), dtype=np.float64)
    return flat.reshape(len(array), len(flat) // max(1, len(array)))
