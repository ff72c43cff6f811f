"""What the heads of the benchmark predict of each slide while it is tested, as one number a score."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from workflow_scripts.core.budgets import WHOLE
from workflow_scripts.core.heads import HEADS
from workflow_scripts.core.ranks import middle_ranks
from workflow_scripts.core.tables import read_meta, read_table
from workflow_scripts.core.tasks import KINDS

_WITHOUT_UNIT = {"risk"}  # predictions that say which of two is higher, and no more


def _as_ranks(rows: list[dict[str, Any]], column: str) -> None:
    """Put ranks among the cases of one fit, from 0 to 1, in place of predictions."""
    fits: dict[tuple[int, int, int], list[dict[str, Any]]] = {}
    for row in rows:
        fits.setdefault((row["repeat"], row["fold"], row["seed"]), []).append(row)
    for cases in fits.values():
        ranks = middle_ranks(np.array([row[column] for row in cases], dtype=np.float64))
        for row, rank in zip(cases, ranks.tolist(), strict=True):
            row[column] = rank


def slide_scores(
    predictions: list[Path], heads: Mapping[str, str], patient_of: Mapping[str, str]
) -> dict[str, dict[str, float]]:
    """Mean prediction of each slide over all splits that test it and learn from all training patients.

    So each score is of models that did not learn from the slide. Where a patient's slides are one bag, all have its
    score. Risks of heads whose models have no common scale (`core.heads`) are ranked among the cases that the same
    model tests, `(rank - 1/2) / n`, before the mean.

    Args:
        predictions: predictions.parquet of tasks.
        heads: the head that counts, by task.
        patient_of: patient of each slide.

    Returns:
        By slide, then by name: `{task}: {class}`, a score (of classes weighted alike); `{task}: rank of risk` from 0 to
        1; or `{task}` alone for a value or a risk with a scale.
    """
    found: dict[str, dict[str, float]] = {slide: {} for slide in patient_of}
    for path in predictions:
        meta = read_meta(path)
        task, head = meta["task"], heads.get(meta["task"])
        column = KINDS[meta["kind"]].prediction
        wanted = ["head", "budget", "repeat", "fold", "seed", "slide_id", "patient_id", column.name]
        rows = [
            row
            for row in read_table(path, wanted).to_pylist()
            if (row["head"], row["budget"]) == (head, WHOLE) and row[column.name] is not None
        ]
        names = [f"{task}: {name}" for name in meta["classes"]] if column.type.startswith("list") else [task]
        if column.name in _WITHOUT_UNIT and not (head in HEADS and HEADS[head].common_scale):
            _as_ranks(rows, column.name)
            names = [f"{task}: rank of {column.name}"]
        of_bag: dict[str, list[np.ndarray]] = {}
        for row in rows:
            value = np.atleast_1d(np.asarray(row[column.name], dtype=np.float64))
            of_bag.setdefault(row["slide_id"] or f"patient\0{row['patient_id']}", []).append(value)
        for slide, patient in patient_of.items():
            values = of_bag.get(slide) or of_bag.get(f"patient\0{patient}")
            if values:
                found[slide] |= dict(zip(names, np.mean(values, axis=0).tolist(), strict=True))
    return found
