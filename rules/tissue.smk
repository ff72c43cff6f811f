"""Tissue: where the slides are not glass."""


include: "tissue_inputs.smk"


# Segments the tissue of a chunk's slides at a fixed physical scale, or takes the user's masks; polygons, and overlays.
rule segment_tissue:
    input:
        checks="<cohort>/check/chunks/{cohort_of}{chunk}.parquet",
        masks=of_slides(mask_files),
    output:
        chunk="<cohort>/tissue/chunks/{cohort_of}{chunk}.parquet",
    log:
        "<cohort>/logs/tissue/{cohort_of}{chunk}.log",
    benchmark:
        "<cohort>/cost/segment_tissue/tissue/{cohort_of}{chunk}.tsv"
    conda:
        "../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=minutes(20, 2),
        manifest=manifest_of,
        masks=CFG.tissue.masks or "",  # each mask is an input, and the folder's name cannot change a result
        give_up_s=str(CFG.slides.give_up_s),
    params:
        cfg=settings("segment_tissue"),
        chunks=chunks_of,
        rows=chunk_masks,
        code=code("segment_tissue"),
        own=own_method_source,
        cohort=CFG.cohort.name,
    shell:
        "python -m workflow_scripts.for_slides segment_tissue --manifest {resources.manifest:q} --chunk {wildcards.chunk}"
        " --chunks {params.chunks} --masks {resources.masks:q} --cohort {params.cohort} --code {params.code}"
        " --give-up-s {resources.give_up_s} --output {output.chunk} --log {log} -- --config {params.cfg:q}"
