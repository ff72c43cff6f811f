"""Tissue: where the slide is not glass."""


# Segments the tissue of one slide at a fixed physical scale, or takes the user's mask; polygons, and an overlay.
rule segment_tissue:
    input:
        check="<cohort>/check/{slide}.parquet",
        mask=lambda wildcards: MASKS.get(wildcards.slide, []),  # the user's own, or none
    output:
        tissue="<cohort>/tissue/{slide}.parquet",
        geojson="<cohort>/tissue/{slide}.geojson",
        overlay="<cohort>/tissue/{slide}.png",
    log:
        "<cohort>/logs/tissue/{slide}.log",
    conda:
        "../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=20,
    params:
        cfg=settings("segment_tissue"),
        code=code("segment_tissue"),
    shell:
        "python -m workflow_scripts.segment_tissue --config {params.cfg:q} --check {input.check} --mask {input.mask:q}"
        " --tissue {output.tissue} --geojson {output.geojson} --overlay {output.overlay} --log {log}"
