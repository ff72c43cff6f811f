"""New slides by a trained model: only where apply.model is set. Nothing is trained, and no other cohort is touched."""

from glob import escape, glob

from workflow_scripts.config.model_folder import FOR_NEW_SLIDES
from workflow_scripts.core.manifest import shard_of

# Fitted heads that are in the model's folder, as there may be.
MODEL_HEADS = sorted(glob(f"{escape(CFG.apply.model)}/heads/*.*"))


def patients_of_shard(wildcards):
    """Param: digest of whose slides a shard holds."""
    return patients_of([row for row in ROWS if shard_of(row.slide_id, CFG.features.shards) == int(wildcards.shard)])


# Embeds the slides of a shard and finds what is like them in the model's cohort; tables and a page for each.
rule apply_slides:
    input:
        index=f"<cohort>/features/{ENCODER}/shard_{{shard}}.parquet",
        model=multiext(f"{CFG.apply.model}/", *FOR_NEW_SLIDES),
        heads=MODEL_HEADS,
    output:
        index="<cohort>/applied/shard_{shard}.parquet",
    log:
        "<cohort>/logs/applied/shard_{shard}.log",
    benchmark:
        "<cohort>/cost/apply_slides/applied/shard_{shard}.tsv"
    conda:
        "../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=120,
        manifest=CFG.apply.manifest,
    params:
        code=code("apply_slides"),
        model=CFG.apply.model,
        neighbours=CFG.apply.neighbours,
        check_folder=check_folder,
        region_folder=region_folder,
        features=feature_folder,
        patients=patients_of_shard,
    shell:
        "python -m workflow_scripts.apply_slides --model {params.model:q} --neighbours {params.neighbours}"
        " --features {params.features} --index {input.index} --manifest {resources.manifest:q} --check-folder {params.check_folder}"
        " --regions-folder {params.region_folder} --output {output.index} --log {log}"
