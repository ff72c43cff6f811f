"""Regions: the grid of patches that one token sequence is made of."""


# Lays the grid of regions over the tissue of a chunk's slides.
rule tile_regions:
    input:
        checks="<cohort>/check/chunks/{cohort_of}{chunk}.parquet",
        tissue="<cohort>/tissue/chunks/{cohort_of}{chunk}.parquet",
    output:
        chunk="<cohort>/regions/chunks/{cohort_of}{chunk}.parquet",
    log:
        "<cohort>/logs/regions/{cohort_of}{chunk}.log",
    benchmark:
        "<cohort>/cost/tile_regions/regions/{cohort_of}{chunk}.tsv"
    conda:
        "../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=minutes(10, 1),
        manifest=manifest_of,
        give_up_s=str(CFG.slides.give_up_s),
    params:
        cfg=settings("tile_regions"),
        chunks=chunks_of,
        code=code("tile_regions"),
        cohort=CFG.cohort.name,
    shell:
        "python -m workflow_scripts.for_slides tile_regions --manifest {resources.manifest:q} --chunk {wildcards.chunk}"
        " --chunks {params.chunks} --cohort {params.cohort} --code {params.code} --give-up-s {resources.give_up_s}"
        " --output {output.chunk} --log {log} -- --config {params.cfg:q}"
