"""The report: one HTML file with everything a person needs to judge the run, and the results as CSV and LaTeX."""


include: "report_inputs.smk"


# Writes report.html, which needs no other file; larger pictures of many slides lie in a folder beside it.
rule write_report:
    input:
        slides=ALL_SLIDES,
        overlays=chunk_files("tissue"),
        regions=chunk_files("regions"),
        templates=expand(f"{PACKAGE}/report/{{name}}", name=TEMPLATES),
        metrics=[
            f"<cohort>/pretrain/{run}/round_{number:02d}/metrics.parquet"
            for run in CFG.pretrain.runs
            for number in range(1, CFG.pretrain.run(run).rounds + 1)
        ],
        tables=report_tables,
        embeddings=expand("<cohort>/embeddings/{name}/slides.parquet", name=EMBEDDED),
        predictions=PREDICTIONS,
        attention_of_heads=ATTENTION,
        splits=expand("<cohort>/benchmark/{task}/splits.parquet", task=CFG.benchmark.tasks),
        results="<cohort>/benchmark/results.parquet",
        comparisons="<cohort>/benchmark/comparisons.parquet",
        sets="<cohort>/benchmark/sets.parquet",
        textures=texture_scores,
        explained=["<cohort>/benchmark/explained.parquet"] if GROUPED_RUNS else [],
        attention=attention_there,
    output:
        **PICTURES,
        report=report("<cohort>/report.html", caption="captions/report.rst", category="Report"),
    log:
        "<cohort>/logs/report.log",
    benchmark:
        "<cohort>/cost/write_report/report.tsv"
    conda:
        "../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
        manifest=MANIFEST,
        test_manifest=TEST_MANIFEST or "",
    params:
        colours=manifest_colours,
        cfg=settings("write_report"),
        code=code("write_report"),
        results=subpath(output.report, parent=True),
    shell:
        "python -m workflow_scripts.write_report --config {params.cfg:q} --results {params.results}"
        " --manifest {resources.manifest:q} --test-manifest {resources.test_manifest:q}"
        " --output {output.report} --log {log}"


# Writes the results as CSV, and as tables for a paper in Markdown and LaTeX.
rule export_results:
    input:
        results="<cohort>/benchmark/results.parquet",
        comparisons="<cohort>/benchmark/comparisons.parquet",
        sets="<cohort>/benchmark/sets.parquet",
    output:
        results=report("<cohort>/benchmark/results.csv", caption="captions/results.rst", category="Results"),
        comparisons=report("<cohort>/benchmark/comparisons.csv", caption="captions/comparisons.rst", category="Results"),
        sets="<cohort>/benchmark/sets.csv",
        markdown="<cohort>/benchmark/results.md",
        latex="<cohort>/benchmark/results.tex",
    log:
        "<cohort>/logs/benchmark/export.log",
    benchmark:
        "<cohort>/cost/export_results/benchmark/export.tsv"
    conda:
        "../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        cfg=settings("export_results"),
        code=code("export_results"),
        folder=subpath(output.results, parent=True),
    shell:
        "python -m workflow_scripts.export_results --config {params.cfg:q} --results {input.results}"
        " --comparisons {input.comparisons} --sets {input.sets} --output {params.folder} --log {log}"
