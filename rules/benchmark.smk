"""The benchmark: patient-level folds, heads on every representation, metrics with intervals."""


include: "benchmark_inputs.smk"


# Deals the patients of a task into stratified folds, or reads the splits that are given.
rule split_patients:
    input:
        label_and_split_files,
        slides=slides_of_task,
    output:
        labels="<cohort>/benchmark/{task}/labels.parquet",
        splits="<cohort>/benchmark/{task}/splits.parquet",
    log:
        "<cohort>/logs/benchmark/{task}/splits.log",
    benchmark:
        "<cohort>/cost/split_patients/benchmark/{task}/splits.tsv"
    conda:
        "../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
        # whose names cannot change a result, so not params
        manifest=MANIFEST,
        test_manifest=test_manifest_of_task,
    params:
        cfg=settings("split_patients"),
        content=split_content,
        code=code("split_patients"),
    shell:
        "python -m workflow_scripts.split_patients --config {params.cfg:q} --task {wildcards.task}"
        " --manifest {resources.manifest:q} --test-manifest {resources.test_manifest:q} --slides {input.slides}"
        " --labels {output.labels} --output {output.splits} --log {log}"


# Fits a head, or all heads on slide vectors, on one representation in every split and predicts the test patients.
rule fit_head:
    input:
        labels="<cohort>/benchmark/{task}/labels.parquet",
        splits="<cohort>/benchmark/{task}/splits.parquet",
        regions=embeddings_of("regions.parquet"),
        slides=embeddings_of("slides.parquet"),
    output:
        predictions="<cohort>/benchmark/{task}/{representation}/{cell}/predictions.parquet",
        attention="<cohort>/benchmark/{task}/{representation}/{cell}/attention.parquet",
    log:
        "<cohort>/logs/benchmark/{task}/{representation}/{cell}.log",
    benchmark:
        "<cohort>/cost/fit_head/benchmark/{task}/{representation}/{cell}.tsv"
    conda:
        "../envs/conda.yaml"
    threads: 1
    resources:
        gpu=cell_gpus,
        mem_mb=cell_memory,
        runtime=240,
    params:
        cfg=cell_settings,
        code=code("fit_head"),
        embeddings=embedding_folders,
    shell:
        "python -m workflow_scripts.fit_head --config {params.cfg:q} --labels {input.labels} --splits {input.splits}"
        " --representation {wildcards.representation} --embeddings {params.embeddings}"
        " --output {output.predictions} --attention {output.attention}"
        " --gpu {resources.gpu} --memory-mb {resources.mem_mb} --log {log}"


# Ranks the slides of a task by their likeness to each of them, and measures whether those in front have its class.
rule measure_retrieval:
    input:
        labels="<cohort>/benchmark/{task}/labels.parquet",
        splits="<cohort>/benchmark/{task}/splits.parquet",
        slides="<cohort>/embeddings/{representation}/slides.parquet",
    output:
        retrieval="<cohort>/benchmark/{task}/{representation}/retrieval.parquet",
    log:
        "<cohort>/logs/benchmark/{task}/{representation}/retrieval.log",
    benchmark:
        "<cohort>/cost/measure_retrieval/benchmark/{task}/{representation}/retrieval.tsv"
    conda:
        "../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=retrieval_memory,
        runtime=120,
    params:
        cfg=retrieval_settings,
        code=code("measure_retrieval"),
    shell:
        "python -m workflow_scripts.measure_retrieval --config {params.cfg:q} --labels {input.labels}"
        " --splits {input.splits} --representation {wildcards.representation} --embeddings {input.slides}"
        " --output {output.retrieval} --log {log}"


# Computes the metrics of all predictions and of retrieval, with intervals of the expected performance and corrected pairs.
rule collect_results:
    input:
        predictions=PREDICTIONS,
        retrieval=RETRIEVAL,
    output:
        results="<cohort>/benchmark/results.parquet",
        comparisons="<cohort>/benchmark/comparisons.parquet",
        sets="<cohort>/benchmark/sets.parquet",
    log:
        "<cohort>/logs/benchmark/results.log",
    benchmark:
        "<cohort>/cost/collect_results/benchmark/results.tsv"
    conda:
        "../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        cfg=settings("collect_results"),
        code=code("collect_results"),
    shell:
        "python -m workflow_scripts.collect_results --config {params.cfg:q} --predictions {input.predictions}"
        " --retrieval {input.retrieval}"
        " --output {output.results} --comparisons {output.comparisons} --sets {output.sets} --log {log}"


# Fits a task's head on all of its labelled slides and puts it into a run's model, with its cross-validated results.
rule export_heads:
    input:
        labels="<cohort>/benchmark/{task}/labels.parquet",
        splits="<cohort>/benchmark/{task}/splits.parquet",
        results="<cohort>/benchmark/results.parquet",
        slides="<cohort>/embeddings/{run}/slides.parquet",
        model="<cohort>/pretrain/{run}/model/model.safetensors",
    output:
        head="<cohort>/pretrain/{run}/model/heads/{task}.safetensors",
        facts="<cohort>/pretrain/{run}/model/heads/{task}.json",
    log:
        "<cohort>/logs/benchmark/{task}/export_{run}.log",
    benchmark:
        "<cohort>/cost/export_heads/benchmark/{task}/export_{run}.tsv"
    conda:
        "../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        cfg=exported_head,
        code=code("export_heads"),
    shell:
        "python -m workflow_scripts.export_heads --config {params.cfg:q} --labels {input.labels} --splits {input.splits}"
        " --results {input.results} --embeddings {input.slides} --run {wildcards.run} --output {output.head} --log {log}"


# Compares the prototypes of a run with maps of the true tissue classes.
rule score_textures:
    input:
        slides="<cohort>/slides.parquet",
        checks=chunk_files("check", ""),
        regions=chunk_files("regions", ""),
        truth=truth_maps,
        assignments=last_assignments,
        groups="<cohort>/pretrain/{run}/groups.parquet",
    output:
        scores="<cohort>/benchmark/textures_{run}.parquet",
    log:
        "<cohort>/logs/benchmark/textures_{run}.log",
    benchmark:
        "<cohort>/cost/score_textures/benchmark/textures_{run}.tsv"
    conda:
        "../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        cfg=settings("score_textures"),
        check_folder=check_folder,
        region_folder=region_folder,
        code=code("score_textures"),
    shell:
        "python -m workflow_scripts.score_textures --config {params.cfg:q} --slides {input.slides}"
        " --regions-folder {params.region_folder} --check-folder {params.check_folder}"
        " --assignments {input.assignments} --groups {input.groups} --output {output.scores} --log {log}"
