"""The atlas: the prototypes of all slides in groups, and what each group holds."""


include: "atlas_inputs.smk"


# Puts the prototypes of the last clustering of all slides into groups.
rule group_prototypes:
    input:
        tables=clustering_to_group,
        before=clustering_before,
    output:
        groups="<cohort>/pretrain/{run}/groups.parquet",
    log:
        "<cohort>/logs/pretrain/{run}/groups.log",
    benchmark:
        "<cohort>/cost/group_prototypes/pretrain/{run}/groups.tsv"
    conda:
        "../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        cfg=settings("group_prototypes"),
        code=code("group_prototypes"),
    shell:
        "python -m workflow_scripts.group_prototypes --config {params.cfg:q} --tables {input.tables}"
        " --before {input.before} --output {output.groups} --log {log}"


# Tells of each group the nearest regions, slides and classes, and how far other runs agree.
rule describe_groups:
    input:
        groups="<cohort>/pretrain/{run}/groups.parquet",
        assignments=last_assignments,
        regions=chunk_files("regions", ""),
        labels=class_labels,
        others=groups_of_other_runs,
    output:
        atlas="<cohort>/pretrain/{run}/atlas.parquet",
    log:
        "<cohort>/logs/pretrain/{run}/atlas.log",
    benchmark:
        "<cohort>/cost/describe_groups/pretrain/{run}/atlas.tsv"
    conda:
        "../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        cfg=settings("describe_groups"),
        region_folder=region_folder,
        code=code("describe_groups"),
    shell:
        "python -m workflow_scripts.describe_groups --config {params.cfg:q} --groups {input.groups}"
        " --assignments {input.assignments} --regions-folder {params.region_folder} --labels {input.labels}"
        " --others {input.others} --output {output.atlas} --log {log}"


# Tells what the prototypes of each run follow, tissue fraction, colour, the rim, beside plain k-means as a control.
rule explain_prototypes:
    input:
        slides="<cohort>/slides.parquet",
        regions=chunk_files("regions", ""),
        checks=chunk_files("check", ""),
        truth=truth_to_explain_by,
        assignments=assignments_of_grouped_runs,
        embeddings=embeddings_to_explain_by,
        colour=colour_to_explain_by,
    output:
        explained="<cohort>/benchmark/explained.parquet",
    log:
        "<cohort>/logs/benchmark/explained.log",
    benchmark:
        "<cohort>/cost/explain_prototypes/benchmark/explained.tsv"
    conda:
        "../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        cfg=settings("explain_prototypes"),
        code=code("explain_prototypes"),
        embeddings=f"{COHORT}/embeddings",
        check_folder=check_folder,
        region_folder=region_folder,
    shell:
        "python -m workflow_scripts.explain_prototypes --config {params.cfg:q} --slides {input.slides}"
        " --assignments {input.assignments} --embeddings {params.embeddings} --colour {input.colour}"
        " --regions-folder {params.region_folder} --check-folder {params.check_folder}"
        " --output {output.explained} --log {log}"


# Writes the regions of every slide with their groups and scores as GeoJSON for QuPath.
rule export_qupath:
    input:
        slides="<cohort>/slides.parquet",
        regions=chunk_files("regions", ""),
        tissue=chunk_files("tissue", ""),
        groups=groups_of_shown_run,
        assignments=assignments_of_shown_run,
        predictions=scores_of_shown_run,
    output:
        index="<cohort>/qupath/index.parquet",
    log:
        "<cohort>/logs/qupath.log",
    benchmark:
        "<cohort>/cost/export_qupath/qupath.tsv"
    conda:
        "../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=120,
    params:
        cfg=settings("export_qupath"),
        code=code("export_qupath"),
        results=result_folder,
    shell:
        "python -m workflow_scripts.export_qupath --config {params.cfg:q} --results {params.results}"
        " --groups {input.groups} --assignments {input.assignments} --predictions {input.predictions}"
        " --output {output.index} --log {log}"


# Writes the embeddings of regions and slides as AnnData.
rule export_anndata:
    input:
        slides=ALL_SLIDES,
        regions=chunk_files("regions"),
        embeddings=expand("<cohort>/embeddings/{{embedded}}/{table}.parquet", table=["regions", "slides"]),
        labels=expand("<cohort>/benchmark/{task}/labels.parquet", task=stages.primary_heads(CFG)),
        groups=groups_for_embeddings,
    output:
        regions="<cohort>/export/anndata/{embedded}_regions.h5ad",
        slides="<cohort>/export/anndata/{embedded}_slides.h5ad",
    log:
        "<cohort>/logs/export/anndata_{embedded}.log",
    benchmark:
        "<cohort>/cost/export_anndata/export/anndata_{embedded}.tsv"
    conda:
        "../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=16000,
        runtime=120,
    params:
        code=code("export_anndata"),
        embeddings=embedding_folder,
        region_folder=region_folder,
        cohort=CFG.cohort.name,
    shell:
        "python -m workflow_scripts.export_anndata --embeddings {params.embeddings}"
        " --regions-folder {params.region_folder} --slides {input.slides} --labels {input.labels}"
        " --groups {input.groups} --cohort {params.cohort} --regions {output.regions} --output {output.slides}"
        " --log {log}"


# Draws the cohort's figures for a paper, at 300 dpi and as vector, with a file of captions.
rule draw_figures:
    input:
        slides="<cohort>/slides.parquet",
        regions=chunk_files("regions", ""),
        metrics=training_metrics,
        predictions=PREDICTIONS,
        splits=expand("<cohort>/benchmark/{task}/splits.parquet", task=CFG.benchmark.tasks),
        results="<cohort>/benchmark/results.parquet",
        comparisons="<cohort>/benchmark/comparisons.parquet",
        groups=group_tables,
    output:
        captions="<cohort>/figures/captions.md",
    log:
        "<cohort>/logs/figures.log",
    benchmark:
        "<cohort>/cost/draw_figures/figures.tsv"
    conda:
        "../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        cfg=settings("draw_figures"),
        code=code("draw_figures"),
        results=result_folder,
    shell:
        "python -m workflow_scripts.draw_figures --config {params.cfg:q} --results {params.results}"
        " --output {output.captions} --log {log}"


# Writes where a run's region encoder looks over some slides.
rule map_attention:
    input:
        slides="<cohort>/slides.parquet",
        features=SHARD_FILES,
        model="<cohort>/pretrain/{run}/model/model.safetensors",
        labels=labels_to_choose_by,
    output:
        attention="<cohort>/pretrain/{run}/attention.parquet",
    log:
        "<cohort>/logs/pretrain/{run}/attention.log",
    benchmark:
        "<cohort>/cost/map_attention/pretrain/{run}/attention.tsv"
    conda:
        "../envs/conda.yaml"
    threads: 1
    resources:
        gpu=GPU,
        mem_mb=8000,
        runtime=60,
    params:
        code=code("map_attention"),
        features=feature_folder,
        model=subpath(input.model, parent=True),
        most=CFG.report.example_slides,
    shell:
        "python -m workflow_scripts.map_attention --model {params.model} --features {params.features}"
        " --slides {input.slides} --count {params.most} --labels {input.labels} --output {output.attention} --gpu {resources.gpu} --log {log}"
