"""Pretraining: a warm-up, then rounds of cluster, assign and distill.

The rounds are unrolled over a wildcard and wired by plain paths, so the graph is known before anything runs:
one more round computes that round only. A round that need not run still has its jobs: they hand tables and state on.
Each run is a chain of states; runs with equal warm-up settings share one.
"""


include: "pretrain_inputs.smk"


# Trains student and teacher by self-distillation alone.
rule warm_up:
    input:
        slides=pretrain_slides,
        features=SHARD_FILES,
        init=start_file,
    output:
        state="<cohort>/pretrain/{warm_up}/state.safetensors",
        metrics="<cohort>/pretrain/{warm_up}/metrics.parquet",
    log:
        "<cohort>/logs/pretrain/{warm_up}.log",
    benchmark:
        "<cohort>/cost/warm_up/pretrain/{warm_up}.tsv"
    conda:
        "../envs/conda.yaml"
    threads: 8
    resources:
        gpu=GPU,
        mem_mb=32000,
        runtime=1440,
        # cannot change a result, so not a param
        micro_batch=CFG.pretrain.micro_batch or 0,
        compile=compile_steps,
        deterministic=deterministic_steps,
    params:
        cfg=warm_up_settings,
        code=code("warm_up"),
        scratch=f"{COHORT}/scratch",
        features=feature_folder,
    shell:
        "python -m workflow_scripts.warm_up --config {params.cfg:q} --features {params.features} --slides {input.slides}"
        " --code {params.code} --state {output.state} --metrics {output.metrics}"
        " --scratch {params.scratch}/{wildcards.warm_up} --micro-batch {resources.micro_batch}"
        " --compile {resources.compile} --deterministic {resources.deterministic}"
        " --gpu {resources.gpu} --log {log}"


# Clusters the regions of every slide into its prototypes.
checkpoint cluster_regions:
    input:
        slides=pretrain_slides,
        features=SHARD_FILES,
        state=previous_state,
        previous=previous_clustering,
    output:
        prototypes="<cohort>/pretrain/{run}/round_{round}/prototypes.parquet",
        assignments="<cohort>/pretrain/{run}/round_{round}/assignments.parquet",
    log:
        "<cohort>/logs/pretrain/{run}/cluster_{round}.log",
    benchmark:
        "<cohort>/cost/cluster_regions/pretrain/{run}/cluster_{round}.tsv"
    conda:
        "../envs/conda.yaml"
    threads: 8
    resources:
        gpu=GPU,
        mem_mb=32000,
        runtime=120,
    params:
        cfg=cluster_settings,
        code=code("cluster_regions"),
        features=feature_folder,
    shell:
        "python -m workflow_scripts.cluster_regions --config {params.cfg:q} --features {params.features}"
        " --slides {input.slides} --state {input.state} --round {wildcards.round} --threads {threads}"
        " --previous {input.previous} --code {params.code}"
        " --prototypes {output.prototypes} --assignments {output.assignments} --gpu {resources.gpu} --log {log}"


# Finds the nearest slides of every slide and matches their prototypes.
checkpoint assign_neighbours:
    input:
        slides=pretrain_slides,
        prototypes="<cohort>/pretrain/{run}/round_{round}/prototypes.parquet",
    output:
        neighbours="<cohort>/pretrain/{run}/round_{round}/neighbours.parquet",
    log:
        "<cohort>/logs/pretrain/{run}/assign_{round}.log",
    benchmark:
        "<cohort>/cost/assign_neighbours/pretrain/{run}/assign_{round}.tsv"
    conda:
        "../envs/conda.yaml"
    threads: 8
    resources:
        mem_mb=16000,
        runtime=120,
    params:
        cfg=settings("assign_neighbours"),
        code=code("assign_neighbours"),
    shell:
        "python -m workflow_scripts.assign_neighbours --config {params.cfg:q} --slides {input.slides}"
        " --prototypes {input.prototypes} --threads {threads} --neighbours {output.neighbours} --log {log}"


# Distils the round's prototypes into the student for a number of epochs.
checkpoint distill_round:
    input:
        slides=pretrain_slides,
        features=SHARD_FILES,
        state=previous_state,
        tables=round_tables,
    output:
        state="<cohort>/pretrain/{run}/round_{round}/state.safetensors",
        metrics="<cohort>/pretrain/{run}/round_{round}/metrics.parquet",
    log:
        "<cohort>/logs/pretrain/{run}/distill_{round}.log",
    benchmark:
        "<cohort>/cost/distill_round/pretrain/{run}/distill_{round}.tsv"
    conda:
        "../envs/conda.yaml"
    threads: 8
    resources:
        gpu=GPU,
        mem_mb=32000,
        runtime=1440,
        # cannot change a result, so not a param
        micro_batch=CFG.pretrain.micro_batch or 0,
        compile=compile_steps,
        deterministic=deterministic_steps,
    params:
        cfg=settings("distill_round"),
        code=code("distill_round"),
        scratch=f"{COHORT}/scratch",
        features=feature_folder,
    shell:
        "python -m workflow_scripts.distill_round --config {params.cfg:q} --features {params.features}"
        " --slides {input.slides} --start {input.state} --tables {input.tables} --code {params.code}"
        " --state {output.state} --metrics {output.metrics}"
        " --scratch {params.scratch}/{wildcards.run}_{wildcards.round}"
        " --micro-batch {resources.micro_batch}"
        " --compile {resources.compile} --deterministic {resources.deterministic}"
        " --gpu {resources.gpu} --log {log}"


# Exports the last round's teacher as safetensors with its config and model card.
rule export_model:
    input:
        slides=pretrain_slides,
        features=SHARD_FILES,
        state=last_state,
    output:
        model="<cohort>/pretrain/{run}/model/model.safetensors",
        config="<cohort>/pretrain/{run}/model/config.json",
        card="<cohort>/pretrain/{run}/model/README.md",
    log:
        "<cohort>/logs/pretrain/{run}/export.log",
    benchmark:
        "<cohort>/cost/export_model/pretrain/{run}/export.tsv"
    conda:
        "../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=10,
    params:
        cfg=settings("export_model"),
        treatment=stages.as_json(stages.treatment_settings(CFG)),
        code=code("export_model"),
        cohort=CFG.cohort.name,
        features=feature_folder,
    shell:
        "python -m workflow_scripts.export_model --config {params.cfg:q} --features {params.features}"
        " --slides {input.slides} --state {input.state} --run {wildcards.run} --cohort {params.cohort}"
        " --treatment {params.treatment:q} --code {params.code} --output {output.model} --log {log}"
