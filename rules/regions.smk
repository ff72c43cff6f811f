"""Regions: the grid of patches that one token sequence is made of."""


# Lays the grid of regions over one slide's tissue.
rule tile_regions:
    input:
        check="<cohort>/check/{slide}.parquet",
        tissue="<cohort>/tissue/{slide}.parquet",
    output:
        regions="<cohort>/regions/{slide}.parquet",
    log:
        "<cohort>/logs/regions/{slide}.log",
    conda:
        "../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        cfg=settings("tile_regions"),
        code=code("tile_regions"),
    shell:
        "python -m workflow_scripts.tile_regions --config {params.cfg:q} --check {input.check}"
        " --tissue {input.tissue} --output {output.regions} --log {log}"
