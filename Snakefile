from snakemake.utils import min_version

min_version("9.27")


configfile: "config/config.yaml"


include: "rules/common.smk"
include: "rules/cohort.smk"
include: "rules/tissue.smk"
include: "rules/regions.smk"
include: "rules/features.smk"
include: "rules/pretrain.smk"
include: "rules/embed.smk"
include: "rules/benchmark.smk"
include: "rules/report.smk"


if CFG.source.kind:

    include: "rules/source.smk"


# Targets: `snakemake tissue` runs everything up to that stage; without one, everything.


rule all:
    default_target: True
    input:
        f"results/{COHORT}/report.html",


rule cohort:
    input:
        per_slide("check/{slide}.parquet"),


rule tissue:
    input:
        per_slide("tissue/{slide}.parquet"),


rule regions:
    input:
        per_slide("regions/{slide}.parquet"),


rule features:
    input:
        f"results/{COHORT}/slides.parquet",


rule export:
    input:
        f"results/{COHORT}/export/{ENCODER}/index.parquet",


rule pretrain:
    input:
        expand(f"results/{COHORT}/pretrain/{{run}}/model/model.safetensors", run=CFG.pretrain.runs),


rule embed:
    input:
        expand(f"results/{COHORT}/embeddings/{{representation}}/slides.parquet", representation=REPRESENTATIONS),


rule benchmark:
    input:
        f"results/{COHORT}/benchmark/results.parquet",


rule report:
    input:
        f"results/{COHORT}/report.html",
