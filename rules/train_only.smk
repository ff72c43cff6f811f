"""Slides of runs that are pretrained for each fold of a task: only where a run has `train_only`."""


def split_digest(wildcards):
    """Digest of what decides the splits of a task; other columns of the manifest train nothing anew."""
    task = CFG.benchmark.tasks[wildcards.task]
    columns = [*task.columns, task.splits.preserve, task.splits.column, "part"]
    cells = [(row.slide_id, row.patient_id, *map(row.labels.get, columns)) for row in ROWS]
    settings_of_splits = stages.BY_TASK["split_patients"](CFG, wildcards.task)
    return value_digest([cells, settings_of_splits, code_digest("workflow_scripts.split_patients")])


# Chooses the slides of the patients that a fold of a task learns from.
rule choose_slides:
    input:
        label_and_split_files,
        slides="<cohort>/slides.parquet",
        # dealt anew whenever the manifest is edited; params tell when they can have changed
        splits=ancient("<cohort>/benchmark/{task}/splits.parquet"),
    output:
        slides="<cohort>/pretrain/slides/{task}_fold{fold}.parquet",
    log:
        "<cohort>/logs/pretrain/slides/{task}_fold{fold}.log",
    wildcard_constraints:
        fold=r"\d+",
    conda:
        "../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        splits=split_digest,
        code=code("choose_slides"),
    shell:
        "python -m workflow_scripts.choose_slides --slides {input.slides} --splits {input.splits}"
        " --fold {wildcards.fold} --output {output.slides} --log {log}"
