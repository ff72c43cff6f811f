"""Features of another tool, taken instead of computed: only where source.kind is set."""


ruleorder: import_features > tile_regions
ruleorder: index_features > extract_features


# Lays regions over the patches of one slide that another tool encoded, and stores them as features.
rule import_features:
    input:
        check="<cohort>/check/{slide}.parquet",
        source=lambda wildcards: as_inputs(source_files(row_of(wildcards)).inputs()),
    output:
        regions="<cohort>/regions/{slide}.parquet",
        features=f"<cohort>/features/{ENCODER}/slides/{{slide}}.parquet",
    log:
        "<cohort>/logs/import/{slide}.log",
    conda:
        "../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=20,
    params:
        cfg=settings("import_features"),
        regions_cfg=settings("import_features", "regions"),
        slides_cfg=settings("import_features", "slides"),
        row=lambda wildcards: row_with(
            wildcards, source_files(row_of(wildcards)).inputs(), {"names": SOURCE_NAMES[wildcards.slide]}
        ),
        code=code("import_features"),
        encoder=ENCODER,
    shell:
        "python -m workflow_scripts.import_features --config {params.cfg:q} --regions-config {params.regions_cfg:q}"
        " --slides-config {params.slides_cfg:q} --row {params.row:q} --check {input.check}"
        " --encoder {params.encoder} --regions {output.regions} --features {output.features} --log {log}"


# Lists the imported features of all slides by shard, without those that differ in width or encoder.
rule index_features:
    input:
        features=per_slide(f"features/{ENCODER}/slides/{{slide}}.parquet", ROWS),
    output:
        index=SHARD_FILES,
    log:
        f"<cohort>/logs/import/index.log",
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
