"""Embeddings: a vector for every region and every slide, from each pretraining run and from the baselines."""


# Embeds regions and slides with the exported teacher of a run.
rule embed_regions:
    input:
        slides="<cohort>/slides.parquet",
        features=SHARD_FILES,
        model="<cohort>/pretrain/{run}/model/model.safetensors",
    output:
        regions="<cohort>/embeddings/{run}/regions.parquet",
        slides="<cohort>/embeddings/{run}/slides.parquet",
    log:
        "<cohort>/logs/embed/{run}.log",
    conda:
        "../envs/conda.yaml"
    threads: 8
    resources:
        gpu=1,
        mem_mb=32000,
        runtime=120,
    params:
        code=code("embed_regions"),
        features=feature_folder,
        model=subpath(input.model, parent=True),
    shell:
        "python -m workflow_scripts.embed_regions --model {params.model} --features {params.features}"
        " --slides {input.slides} --regions-output {output.regions} --slides-output {output.slides}"
        " --gpu {resources.gpu} --log {log}"


# Embeds regions and slides without pretraining: mean of patch features, or of colour.
rule embed_baseline:
    input:
        slides="<cohort>/slides.parquet",
        features=SHARD_FILES,
    output:
        regions="<cohort>/embeddings/{baseline}/regions.parquet",
        slides="<cohort>/embeddings/{baseline}/slides.parquet",
    log:
        "<cohort>/logs/embed/{baseline}.log",
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
