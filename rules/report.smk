"""The report: one HTML file with everything a person needs to judge the run."""


include: "report_inputs.smk"


# Writes the self-contained report.html.
rule write_report:
    input:
        slides="<cohort>/slides.parquet",
        overlays=per_slide("tissue/{slide}.png"),
        regions=per_slide("regions/{slide}.parquet"),
        templates=expand(f"{PACKAGE}/report/report.{{kind}}", kind=["html", "css", "js"]),
        metrics=[
            f"<cohort>/pretrain/{run}/round_{number:02d}/metrics.parquet"
            for run in CFG.pretrain.runs
            for number in range(1, CFG.pretrain.run(run).rounds + 1)
        ],
        tables=report_tables,
        embeddings=expand("<cohort>/embeddings/{name}/slides.parquet", name=CFG.representations),
        predictions=PREDICTIONS,
        results="<cohort>/benchmark/results.parquet",
        textures=texture_scores,
    output:
        report="<cohort>/report.html",
    log:
        "<cohort>/logs/report.log",
    conda:
        "../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        cfg=settings("write_report"),
        code=code("write_report"),
        results=subpath(output.report, parent=True),
    shell:
        "python -m workflow_scripts.write_report --config {params.cfg:q} --results {params.results}"
        " --output {output.report} --log {log}"
