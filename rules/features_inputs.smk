"""Input functions of features.smk."""

from workflow_scripts.config.model_name import parse_model
from workflow_scripts.encoders.hub import own_weights
from workflow_scripts.encoders.plug_in import plug_in_digest


def of_shard(stage, cohort_of):
    """Input function: tables of a stage's chunks within the wildcard `shard`."""
    return lambda wildcards: chunk_files(stage, cohort_of, wildcards.shard)


def weights_file(wildcards):
    """The user's own checkpoint, or nothing where there is none or it cannot be found."""
    if CFG.source.kind:
        return []
    try:
        file = own_weights(CFG.features)
    except UserError:
        return []
    return [str(file)] if file and file.is_file() else []


def plug_in_source(wildcards):
    """Digest of the source of the user's own encoder; empty where there is none, or only the job's environment has it."""
    try:
        return plug_in_digest(CFG.features.model) if parse_model(CFG.features.model).kind == "plug_in" else ""
    except UserError:
        return ""
