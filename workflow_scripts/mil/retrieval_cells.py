"""Retrieval in the results: the table of what was measured by likeness, metric and patient, and its cells."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from workflow_scripts.core.budgets import WHOLE
from workflow_scripts.core.schemas import RETRIEVAL
from workflow_scripts.core.tasks import KINDS
from workflow_scripts.mil.predictions import Tested
from workflow_scripts.mil.ranking import MEASURES
from workflow_scripts.mil.results import Cell
from workflow_scripts.mil.retrieval import Retrieved
from workflow_scripts.mil.scoring import Scored, group_numbers, smallest_group, within_classes
from workflow_scripts.mil.variance import Scores, influence


def retrieval_table(found: Mapping[str, Retrieved], patient_ids: list[str], groups: np.ndarray) -> pa.Table:
    """Rows of `schemas.RETRIEVAL`.

    Args:
        found: what was measured, by likeness.
        patient_ids: ids of the G patients by number.
        groups: number of the class of each, int64 `[G]`.
    """
    n = len(patient_ids)
    parts = [(head, name, one.without[row]) for head, one in found.items() for row, name in enumerate(MEASURES)]
    columns = {
        "head": [head for head, _, _ in parts for _ in range(n)],
        "metric": [name for _, name, _ in parts for _ in range(n)],
        "patient_id": patient_ids * len(parts),
        "group": groups.tolist() * len(parts),
        "without": np.concatenate([values for *_, values in parts]).tolist(),
    }
    return pa.table(columns, RETRIEVAL)


def retrieval_facts(
    found: Mapping[str, Retrieved], kind: str, target: list[str], patient: np.ndarray, patient_ids: list[str]
) -> tuple[dict[str, Any], np.ndarray]:
    """What the metadata of the table holds beside the facts of the task, and the class number of each patient.

    Args:
        found: what was measured, by likeness.
        kind: of the task.
        target: class names of the n slides.
        patient: number of the patient of each, int64 `[n]`.
        patient_ids: ids of the patients by number.
    """
    tested = Tested([], patient, patient_ids, target, [])
    smallest, share = smallest_group(KINDS[kind], tested)
    groups = group_numbers(KINDS[kind], tested)
    measured = {
        head: {
            "values": one.values.tolist(),
            "chance": one.chance.tolist(),
            "counted_again": one.again.tolist(),
            "n_queries": one.n_queries,
            "n_alone": one.n_alone,
        }
        for head, one in found.items()
    }
    return {"measured": measured, "smallest": smallest, "share": share}, groups


def retrieval_cells(table: pa.Table, facts: dict[str, Any]) -> list[Cell]:
    """Cells of one file of retrieval: a cell a likeness.

    Args:
        table: rows of `schemas.RETRIEVAL`.
        facts: its metadata, as `measure_retrieval` writes it.
    """
    heads, metrics = (np.array(table[name].to_pylist(), dtype=object) for name in ("head", "metric"))
    without, groups = table["without"].to_numpy(), table["group"].to_numpy()
    patients = np.array(table["patient_id"].to_pylist(), dtype=object)
    cells = []
    for head, one in facts["measured"].items():
        scored = {}
        measured = zip(MEASURES, one["values"], one["chance"], one["counted_again"], strict=True)
        for metric, value, chance, again in measured:
            rows = np.flatnonzero((heads == head) & (metrics == metric))
            moved = within_classes(influence(value, without[rows]), groups[rows])
            values, ids, total = np.array([value]), patients[rows].tolist(), float((moved**2).sum())
            groups_and_smallest = (groups[rows], facts["smallest"], facts["share"])
            scores = Scores(values, moved[None], "ranking", 1.0, *groups_and_smallest, again=again / max(total, 1e-300))
            scored[WHOLE, metric] = Scored(scores, values[:, None], values, False, ids, chance=chance)
        cells.append(Cell(facts | {"n_slides": one["n_queries"]}, head, {}, scored))
    return cells
