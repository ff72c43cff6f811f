"""Features: a frozen encoder over the patches of every region."""


include: "features_inputs.smk"


# Encodes the patches of one shard of slides; a slide that is already done is not encoded again.
rule extract_features:
    input:
        checks=of_shard("check", ""),
        regions=of_shard("regions", ""),
        weights=weights_file,
    output:
        index="<cohort>/features/{encoder}/shard_{shard}.parquet",
    log:
        "<cohort>/logs/features/{encoder}/shard_{shard}.log",
    benchmark:
        "<cohort>/cost/extract_features/features/{encoder}/shard_{shard}.tsv"
    conda:
        "../envs/conda.yaml"
    threads: 8
    resources:
        gpu=GPU,
        mem_mb=16000,
        runtime=720,
        # cannot change a result, so not a param
        batch_size=CFG.features.batch_size or 0,
        keep_fetched=int(CFG.slides.keep_fetched),
        give_up_s=str(CFG.slides.give_up_s),
        manifest=MANIFEST,
        other_manifest=TEST_MANIFEST or "",
    params:
        cfg=settings("extract_features"),
        regions_cfg=settings("extract_features", "regions"),
        code=code("extract_features"),
        cohort=CFG.cohort.name,
        plug_in=plug_in_source,
        check_folder=check_folder,
        region_folder=region_folder,
    shell:
        "python -m workflow_scripts.extract_features --config {params.cfg:q} --regions-config {params.regions_cfg:q}"
        " --manifest {resources.manifest:q} --other-manifest {resources.other_manifest:q}"
        " --shard {wildcards.shard} --code {params.code}"
        " --check-folder {params.check_folder} --regions-folder {params.region_folder}"
        " --output {output.index} --batch-size {resources.batch_size} --gpu {resources.gpu}"
        " --readers {threads} --keep-fetched {resources.keep_fetched} --cohort {params.cohort}"
        " --give-up-s {resources.give_up_s} --log {log}"


# Writes the patch features of all usable slides in the layouts of other tools.
rule export_features:
    input:
        slides=ALL_SLIDES,
        features=ALL_SHARD_FILES,
        regions=chunk_files("regions"),
    output:
        index="<cohort>/export/{encoder}/index.parquet",
    log:
        "<cohort>/logs/export/{encoder}.log",
    benchmark:
        "<cohort>/cost/export_features/export/{encoder}.tsv"
    conda:
        "../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=240,
    params:
        cfg=settings("export_features"),
        regions_cfg=settings("export_features", "regions"),
        code=code("export_features"),
        features=feature_folder,
        regions=region_folder,
    shell:
        "python -m workflow_scripts.export_features --config {params.cfg:q} --regions-config {params.regions_cfg:q}"
        " --features {params.features} --regions-folder {params.regions} --slides {input.slides} --output {output.index}"
        " --log {log}"
