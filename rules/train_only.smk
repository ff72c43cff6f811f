"""Slides of runs that are pretrained for each fold of a task: only where a run has `train_only`."""


# Chooses the slides of the patients that a fold of a task learns from.
rule choose_slides:
    input:
        label_and_split_files,
        slides="<cohort>/slides.parquet",
    output:
        slides="<cohort>/pretrain/slides/{task}_fold{fold}.parquet",
    log:
        "<cohort>/logs/pretrain/slides/{task}_fold{fold}.log",
    benchmark:
        "<cohort>/cost/choose_slides/pretrain/slides/{task}_fold{fold}.tsv"
    wildcard_constraints:
        fold=r"\d+",
    conda:
        "../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
        # whose name cannot change a result, so not a param
        manifest=MANIFEST,
    params:
        cfg=settings("choose_slides"),
        content=split_content,
        code=code("choose_slides"),
    shell:
        "python -m workflow_scripts.choose_slides --config {params.cfg:q} --task {wildcards.task}"
        " --manifest {resources.manifest:q} --slides {input.slides} --fold {wildcards.fold} --output {output.slides}"
        " --log {log}"
