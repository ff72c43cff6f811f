"""The report: one HTML file with everything a person needs to judge the run."""


def texture_scores(wildcards):
    """Scores of the prototypes, where there are maps of the true classes."""
    if CFG.benchmark.region_truth is None:
        return []
    runs = [name for name in CFG.pretrain.runs if CFG.pretrain.run(name).uses_prototypes]
    return expand(f"results/{COHORT}/benchmark/textures_{{run}}.parquet", run=runs)


def report_tables(wildcards):
    """Warm-up curves, and the last round's prototypes, assignments and neighbours."""
    files = [f"results/{COHORT}/pretrain/{warm_up_folder(run)}/metrics.parquet" for run in CFG.pretrain.runs]
    for name in CFG.pretrain.runs:
        run = CFG.pretrain.run(name)
        if run.uses_prototypes:
            folder = f"results/{COHORT}/pretrain/{name}/round_{run.rounds:02d}"
            files += [f"{folder}/{table}.parquet" for table in ("prototypes", "assignments", "neighbours")]
    return sorted(set(files))


def report_settings():
    runs = {name: CFG.pretrain.run(name) for name in CFG.pretrain.runs}
    return settings(
        {
            "report": result_settings(CFG.report),
            "cohort": COHORT,
            "representations": REPRESENTATIONS,
            "runs": {name: run.model_dump(mode="json") for name, run in runs.items()},
            "run_rounds": {name: run.rounds for name, run in runs.items()},
            "warm_ups": {name: warm_up_folder(name) for name in runs},
            "tasks": {name: task_settings(name) for name in CFG.benchmark.tasks},
            "encoder": ENCODER,
            "settings": CFG.model_dump(
                mode="json", exclude={"cohort": {"max_failed_fraction"}, "features": {"batch_size"}}
            ),
        }
    )


# Writes the self-contained report.html.
rule write_report:
    input:
        slides="results/{cohort}/slides.parquet",
        overlays=per_slide("tissue/{slide}.png"),
        regions=per_slide("regions/{slide}.parquet"),
        templates=[workflow.source_path(f"../workflow_scripts/report/report.{kind}") for kind in ("html", "css", "js")],
        metrics=[
            f"results/{COHORT}/pretrain/{run}/round_{number:02d}/metrics.parquet"
            for run in CFG.pretrain.runs
            for number in range(1, CFG.pretrain.run(run).rounds + 1)
        ],
        tables=report_tables,
        embeddings=expand(f"results/{COHORT}/embeddings/{{name}}/slides.parquet", name=REPRESENTATIONS),
        predictions=PREDICTIONS,
        results="results/{cohort}/benchmark/results.parquet",
        textures=texture_scores,
    output:
        report="results/{cohort}/report.html",
    log:
        "results/{cohort}/logs/report.log",
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        cfg=report_settings(),
        code=code("write_report"),
    shell:
        "python -m workflow_scripts.write_report --config {params.cfg:q} --results results/{wildcards.cohort}"
        " --output {output.report} --log {log}"
