"""Embeddings: a vector for every region and every slide, from each pretraining run and from what is not trained here."""


include: "embed_inputs.smk"


# Embeds regions and slides with the exported teacher of a run.
rule embed_regions:
    input:
        slides=ALL_SLIDES,
        features=ALL_SHARD_FILES,
        model="<cohort>/pretrain/{run}/model/model.safetensors",
        pretrained=pretrain_slides,
    output:
        regions="<cohort>/embeddings/{run}/regions.parquet",
        slides="<cohort>/embeddings/{run}/slides.parquet",
    log:
        "<cohort>/logs/embed/{run}.log",
    benchmark:
        "<cohort>/cost/embed_regions/embed/{run}.tsv"
    conda:
        "../envs/conda.yaml"
    threads: 8
    resources:
        gpu=GPU,
        mem_mb=32000,
        runtime=120,
    params:
        code=code("embed_regions"),
        features=feature_folder,
        model=subpath(input.model, parent=True),
    shell:
        "python -m workflow_scripts.embed_regions --model {params.model} --features {params.features}"
        " --slides {input.slides} --pretrained {input.pretrained} --code {params.code}"
        " --regions-output {output.regions} --slides-output {output.slides} --gpu {resources.gpu} --log {log}"


# Adds to a model's folder what finds the slides of its cohort: their prototypes and vectors.
rule export_prototypes:
    input:
        model="<cohort>/pretrain/{run}/model/model.safetensors",
        slides="<cohort>/embeddings/{run}/slides.parquet",
        cohort="<cohort>/slides.parquet",
        prototypes=last_prototypes,
        states=clustering_states,
    output:
        prototypes="<cohort>/pretrain/{run}/model/prototypes.parquet",
        slides="<cohort>/pretrain/{run}/model/slides.parquet",
        teacher="<cohort>/pretrain/{run}/model/clustering.safetensors",
    log:
        "<cohort>/logs/pretrain/{run}/export_prototypes.log",
    benchmark:
        "<cohort>/cost/export_prototypes/pretrain/{run}/export_prototypes.tsv"
    conda:
        "../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=20,
    params:
        cfg=settings("export_prototypes"),
        code=code("export_prototypes"),
        round=last_clustering,
        heads=exported_tasks,
    shell:
        "python -m workflow_scripts.export_prototypes --config {params.cfg:q} --prototypes {input.prototypes}"
        " --states {input.states} --round {params.round} --slides {input.slides} --cohort {input.cohort} --heads {params.heads}"
        " --output {output.prototypes} --log {log}"


# Puts an index of a run's regions into its model, in which the nearest are found in milliseconds; of `search_index` alone.
rule index_regions:
    input:
        regions="<cohort>/embeddings/{run}/regions.parquet",
        model="<cohort>/pretrain/{run}/model/model.safetensors",
    output:
        index="<cohort>/pretrain/{run}/model/index.safetensors",
    log:
        "<cohort>/logs/embed/{run}_index.log",
    benchmark:
        "<cohort>/cost/index_regions/embed/{run}_index.tsv"
    conda:
        "../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=index_memory,
        runtime=60,
    params:
        code=code("index_regions"),
    shell:
        "python -m workflow_scripts.index_regions --regions {input.regions} --output {output.index} --log {log}"


# Embeds regions and slides without pretraining: patch features pooled, or colour.
rule embed_baseline:
    input:
        slides=ALL_SLIDES,
        features=ALL_SHARD_FILES,
    output:
        regions="<cohort>/embeddings/{baseline}/regions.parquet",
        slides="<cohort>/embeddings/{baseline}/slides.parquet",
    log:
        "<cohort>/logs/embed/{baseline}.log",
    benchmark:
        "<cohort>/cost/embed_baseline/embed/{baseline}.tsv"
    conda:
        "../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        code=code("embed_baseline"),
        features=feature_folder,
    shell:
        "python -m workflow_scripts.embed_baseline --baseline {wildcards.baseline} --features {params.features}"
        " --slides {input.slides} --regions-output {output.regions} --slides-output {output.slides} --log {log}"


# Embeds slides as bags of their patches, which stay in the files of the features.
rule embed_patches:
    input:
        slides=ALL_SLIDES,
        features=ALL_SHARD_FILES,
    output:
        regions="<cohort>/embeddings/patches/regions.parquet",
        slides="<cohort>/embeddings/patches/slides.parquet",
    log:
        "<cohort>/logs/embed/patches.log",
    benchmark:
        "<cohort>/cost/embed_patches/embed/patches.tsv"
    conda:
        "../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        code=code("embed_patches"),
        features=feature_folder,
    shell:
        "python -m workflow_scripts.embed_patches --features {params.features} --slides {input.slides}"
        " --regions-output {output.regions} --slides-output {output.slides} --log {log}"


# Embeds slides as the sets of their prototypes, mean embeddings of the regions of each: by a run's clustering, or by k-means.
rule embed_prototypes:
    input:
        regions="<cohort>/embeddings/{source}/regions.parquet",
        cohort="<cohort>/slides.parquet",
        assignments=own_clustering,
    output:
        regions="<cohort>/embeddings/{source}-prototypes/regions.parquet",
        slides="<cohort>/embeddings/{source}-prototypes/slides.parquet",
    log:
        "<cohort>/logs/embed/{source}-prototypes.log",
    benchmark:
        "<cohort>/cost/embed_prototypes/embed/{source}-prototypes.tsv"
    conda:
        "../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        cfg=set_settings,
        code=code("embed_prototypes"),
    shell:
        "python -m workflow_scripts.embed_prototypes --config {params.cfg:q} --regions {input.regions}"
        " --cohort {input.cohort} --assignments {input.assignments}"
        " --regions-output {output.regions} --slides-output {output.slides} --log {log}"


# Takes another tool's vectors of slides.
rule embed_table:
    input:
        slides=ALL_SLIDES,
        table=table_file,
    output:
        regions="<cohort>/embeddings/{table}/regions.parquet",
        slides="<cohort>/embeddings/{table}/slides.parquet",
    log:
        "<cohort>/logs/embed/{table}.log",
    benchmark:
        "<cohort>/cost/embed_table/embed/{table}.tsv"
    conda:
        "../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        code=code("embed_table"),
        pretrained_on=pretrained_on,
    shell:
        "python -m workflow_scripts.embed_table --table {input.table:q} --pretrained-on {params.pretrained_on:q}"
        " --slides {input.slides} --regions-output {output.regions} --slides-output {output.slides} --log {log}"
