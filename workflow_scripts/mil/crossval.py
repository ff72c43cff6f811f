"""A head over all fits of a task."""

from collections.abc import Sequence

import numpy as np

from workflow_scripts.core.entry import log
from workflow_scripts.mil.bags import Bags
from workflow_scripts.mil.head import Job, Settings
from workflow_scripts.mil.heads import make_head


def predict_jobs(
    head: str, kind: str, bags: Bags, jobs: Sequence[Job], settings: Settings
) -> tuple[list[np.ndarray], list[dict[str, float]]]:
    """Fit a head on the training bags of every job and predict its test bags.

    Args:
        head: name of the registry.
        kind: kind of the task.
        bags: S bags.
        jobs: fits, whose indices are of `bags`.
        settings: of the head, as `benchmark.head_settings` has them.

    Returns:
        For each job the predictions of its test bags, float64 `[n_test, C]` or `[n_test]`, and what it has chosen.
    """
    model = make_head(head, kind, settings)
    predictions = model.predict(bags, jobs)
    for number, (job, chosen) in enumerate(zip(jobs, model.chosen or [{}] * len(jobs), strict=True), start=1):
        told = "".join(f", {name} {value:g}" for name, value in chosen.items())
        sizes = f"{len(job.train)} slides to learn from, {len(job.test)} to test"
        log.info("fit %d of %d: %s%s", number, len(jobs), sizes, told)
    return predictions, model.chosen
