"""What the heads of the benchmark predict of each slide while it is tested, as one number a score."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from workflow_scripts.core.budgets import WHOLE
from workflow_scripts.core.tables import read_meta, read_table
from workflow_scripts.core.tasks import KINDS


def slide_scores(
    predictions: list[Path], heads: Mapping[str, str], patient_of: Mapping[str, str]
) -> dict[str, dict[str, float]]:
    """Mean prediction of each slide over all splits that test it and learn from all training patients.

    So each score is of models that did not learn from the slide. Where a patient's slides are one bag, all have its
    score.

    Args:
        predictions: predictions.parquet of tasks.
        heads: the head that counts, by task.
        patient_of: patient of each slide.

    Returns:
        By slide, then by name: `{task}: {class}`, a probability, or `{task}` alone for a risk or value.
    """
    found: dict[str, dict[str, float]] = {slide: {} for slide in patient_of}
    for path in predictions:
        meta = read_meta(path)
        task = meta["task"]
        column = KINDS[meta["kind"]].prediction
        sums: dict[str, list[np.ndarray]] = {}
        table = read_table(path, ["head", "budget", "slide_id", "patient_id", column.name])
        for row in table.to_pylist():
            if (row["head"], row["budget"]) == (heads.get(task), WHOLE) and row[column.name] is not None:
                value = np.atleast_1d(np.asarray(row[column.name], dtype=np.float64))
                sums.setdefault(row["slide_id"] or f"patient\0{row['patient_id']}", []).append(value)
        names = [f"{task}: {name}" for name in meta["classes"]] if column.type.startswith("list") else [task]
        for slide, patient in patient_of.items():
            values = sums.get(slide) or sums.get(f"patient\0{patient}")
            if values:
                found[slide] |= dict(zip(names, np.mean(values, axis=0).tolist(), strict=True))
    return found
