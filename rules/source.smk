"""Features of another tool, taken instead of computed: only where source.kind is set."""


ruleorder: import_features > tile_regions
ruleorder: index_features > extract_features


# Lays regions over the patches of a chunk's slides that another tool encoded, and stores them as features.
rule import_features:
    input:
        checks="<cohort>/check/chunks/{cohort_of}{chunk}.parquet",
        source=of_slides(lambda row: as_inputs(source_files(row).inputs())),
    output:
        chunk="<cohort>/regions/chunks/{cohort_of}{chunk}.parquet",
    log:
        "<cohort>/logs/import/{cohort_of}{chunk}.log",
    benchmark:
        "<cohort>/cost/import_features/import/{cohort_of}{chunk}.tsv"
    conda:
        "../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=minutes(20, 2),
        manifest=manifest_of,
        other_manifest=other_manifest_of,
        give_up_s=str(CFG.slides.give_up_s),
    params:
        cfg=settings("import_features"),
        regions_cfg=settings("import_features", "regions"),
        slides_cfg=settings("import_features", "slides"),
        chunks=chunks_of,
        rows=lambda wildcards: digest_of_rows(
            rows_of(wildcards), lambda row: source_files(row).inputs(), lambda row: SOURCE_NAMES[row.slide_id]
        ),
        code=code("import_features"),
        cohort=CFG.cohort.name,
        encoder=ENCODER,
    shell:
        "python -m workflow_scripts.for_slides import_features --manifest {resources.manifest:q}"
        " --other-manifest {resources.other_manifest:q} --chunk {wildcards.chunk} --chunks {params.chunks}"
        " --cohort {params.cohort} --encoder {params.encoder} --code {params.code} --give-up-s {resources.give_up_s}"
        " --output {output.chunk} --log {log} -- --config {params.cfg:q} --regions-config {params.regions_cfg:q}"
        " --slides-config {params.slides_cfg:q}"


# Lists the imported features of all slides by shard, without those that differ in width or encoder.
rule index_features:
    input:
        features=chunk_files("regions", ""),
    output:
        index=SHARD_FILES,
    log:
        f"<cohort>/logs/import/index.log",
    benchmark:
        "<cohort>/cost/index_features/import/index.tsv"
    conda:
        "../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
        # whose name cannot change a result, so not a param
        manifest=MANIFEST,
    params:
        code=code("index_features"),
        folder=lambda wildcards, output: os.path.dirname(output[0]),
    shell:
        "python -m workflow_scripts.index_features --manifest {resources.manifest:q} --features {params.folder}"
        " --outputs {output.index} --log {log}"
