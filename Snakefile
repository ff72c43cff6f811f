import signal

from snakemake.utils import min_version

min_version("9.27")


# The demo, unless `--configfile` names a configuration: that one starts from the defaults in code, which are the paper's.
if not workflow.overwrite_configfiles:

    configfile: "config/config.yaml"


include: "rules/common.smk"
include: "rules/cohort.smk"
include: "rules/tissue.smk"
include: "rules/regions.smk"
include: "rules/features.smk"
include: "rules/pretrain.smk"
include: "rules/embed.smk"
include: "rules/benchmark.smk"
include: "rules/atlas.smk"
include: "rules/report.smk"


if CFG.source.kind:

    include: "rules/source.smk"


if CFG.cohort.test_manifest:

    include: "rules/test_cohort.smk"


if CFG.pretrain.by_fold:

    include: "rules/train_only.smk"


if CFG.apply.model:

    include: "rules/apply.smk"


onstart:
    answer_in_thread(signal.SIGTERM)


# Targets: `snakemake tissue` runs everything up to that stage; without one, everything.


rule all:
    default_target: True
    input:
        APPLIED
        if CFG.apply.model
        else ["<cohort>/report.html", "<cohort>/benchmark/results.tex", *SEARCHABLE, *EXPORTED_HEADS],


rule apply:
    input:
        applied_slides,


rule cohort:
    input:
        chunk_files("check"),


rule tissue:
    input:
        chunk_files("tissue"),


rule regions:
    input:
        chunk_files("regions"),


rule features:
    input:
        ALL_SLIDES,
        ALL_SHARD_FILES,


rule export:
    input:
        f"<cohort>/export/{ENCODER}/index.parquet",


rule anndata:
    input:
        expand("<cohort>/export/anndata/{name}_{of}.h5ad", name=EMBEDDED, of=["regions", "slides"]),


rule pretrain:
    input:
        expand("<cohort>/pretrain/{run}/model/model.safetensors", run=CFG.pretrain.runs),


rule atlas:
    input:
        expand("<cohort>/pretrain/{run}/atlas.parquet", run=GROUPED_RUNS),


rule attention:
    input:
        expand("<cohort>/pretrain/{run}/attention.parquet", run=CFG.pretrain.runs),


rule qupath:
    input:
        "<cohort>/qupath/index.parquet",


rule figures:
    input:
        "<cohort>/figures/captions.md",


rule embed:
    input:
        expand("<cohort>/embeddings/{representation}/slides.parquet", representation=EMBEDDED),
        SEARCHABLE,


rule search_index:
    input:
        expand("<cohort>/pretrain/{run}/model/index.safetensors", run=CFG.pretrain.runs),


rule benchmark:
    input:
        "<cohort>/benchmark/results.parquet",
        "<cohort>/benchmark/results.tex",
        EXPORTED_HEADS,


rule report:
    input:
        "<cohort>/report.html",
