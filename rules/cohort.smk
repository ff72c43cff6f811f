"""The cohort: synthetic slides of the demo, a check of every slide, and the status of all of them."""


include: "cohort_inputs.smk"


# Makes one synthetic slide of the demo cohort and the map of its textures.
rule make_demo_slide:
    output:
        slide=f"{CFG.demo.directory}/{{demo}}.{{suffix}}",
        truth=f"{CFG.demo.directory}/truth/{{demo}}.{{suffix}}.npz",
    log:
        f"{CFG.demo.directory}/logs/{{demo}}.{{suffix}}.log",
    benchmark:
        "<cohort>/cost/make_demo_slide/{demo}.{suffix}.tsv"
    wildcard_constraints:
        demo="demo_[A-Za-z0-9]+",
        suffix="svs|tiff",
    conda:
        "../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        cfg=settings("make_demo_slide"),
        code=code("make_demo_slide"),
    shell:
        "python -m workflow_scripts.make_demo_slide --config {params.cfg:q} --slide {wildcards.demo}"
        " --output {output.slide} --truth {output.truth} --log {log}"


# Fetches one remote slide and records what came; there is no code to rerun for, the file is that of its address.
rule fetch_slide:
    output:
        record="<cohort>/fetched/{slide}.json",
    log:
        "<cohort>/logs/fetched/{slide}.log",
    benchmark:
        "<cohort>/cost/fetch_slide/fetched/{slide}.tsv"
    localrule: True
    conda:
        "../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=120,
        fetch=1,
    params:
        row=lambda wildcards: stages.as_json(stages.fetch_settings(CFG, row_of(wildcards))),
        cohort=CFG.cohort.name,
    shell:
        "python -m workflow_scripts.fetch_slide --row {params.row:q} --cohort {params.cohort}"
        " --output {output.record} --log {log}"


# Opens the slides of a chunk and records format, size and scale of each, and whether it can be used.
rule check_slide:
    input:
        slides=of_slides(slide_file),
    output:
        chunk="<cohort>/check/chunks/{cohort_of}{chunk}.parquet",
    log:
        "<cohort>/logs/check/{cohort_of}{chunk}.log",
    benchmark:
        "<cohort>/cost/check_slide/check/{cohort_of}{chunk}.tsv"
    conda:
        "../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=minutes(10, 1),
        manifest=manifest_of,
        give_up_s=str(CFG.slides.give_up_s),
    params:
        cfg=settings("check_slide"),
        chunks=chunks_of,
        rows=chunk_rows,
        code=code("check_slide"),
        cohort=CFG.cohort.name,
    shell:
        "python -m workflow_scripts.for_slides check_slide --manifest {resources.manifest:q} --chunk {wildcards.chunk}"
        " --chunks {params.chunks} --cohort {params.cohort} --code {params.code} --give-up-s {resources.give_up_s}"
        " --output {output.chunk} --log {log} -- --config {params.cfg:q}"


# Gathers the status of every slide of the manifest, and stops the run when too many are excluded.
rule summarise_cohort:
    input:
        checks=chunk_files("check", ""),
        # features of another tool come without pixels to look at
        tissue=[] if CFG.source.kind else chunk_files("tissue", ""),
        features=SHARD_FILES,
    output:
        slides="<cohort>/slides.parquet",
    log:
        "<cohort>/logs/summarise_cohort.log",
    benchmark:
        "<cohort>/cost/summarise_cohort/summarise_cohort.tsv"
    conda:
        "../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
        # a limit and the manifest's name cannot change a result, so are no params: editing them reruns nothing
        max_failed_fraction=str(CFG.cohort.max_failed_fraction),  # numbers must be whole, text may be any
        manifest=MANIFEST,
    params:
        patients=patients_of(ROWS),
        code=code("summarise_cohort"),
        checks=check_folder,
        tissue="" if CFG.source.kind else f"--tissue-folder {COHORT}/tissue",
    shell:
        "python -m workflow_scripts.summarise_cohort --manifest {resources.manifest:q} --check-folder {params.checks}"
        " {params.tissue} --indices {input.features}"
        " --max-failed-fraction {resources.max_failed_fraction} --output {output.slides} --log {log}"
