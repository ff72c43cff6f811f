"""Input functions of benchmark.smk."""

from workflow_scripts.core.heads import HEADS
from workflow_scripts.core.hipt_splits import hipt_files

PREDICTIONS = [
    f"<cohort>/benchmark/{task}/{representation}/{head}/predictions.parquet"
    for task, spec in CFG.benchmark.tasks.items()
    for representation in CFG.representations
    for head in CFG.benchmark.heads[spec.kind]
]


def label_and_split_files(wildcards):
    """Files beside the manifest that a task's labels and splits are read from."""
    task = CFG.benchmark.tasks[wildcards.task]
    published = hipt_files(task.published) if task.published else []
    return [file for file in (task.table, task.splits.file) if file] + published


def truth_maps(wildcards):
    """Maps that the workflow itself makes; maps given by the user are read as they are."""
    if CFG.benchmark.region_truth != f"{CFG.demo.directory}/truth":
        return []
    files = [os.path.basename(row.path) for row in SLIDES.values() if is_demo(row.path)]
    return [f"{CFG.benchmark.region_truth}/{name}.npz" for name in files]
