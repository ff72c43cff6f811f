"""Input functions and params of tissue.smk."""

from workflow_scripts.core.own_function import own_function


def mask_files(row):
    """The user's own masks of a slide."""
    return as_inputs(MASKS.get(row.slide_id, []))


def chunk_masks(wildcards):
    """Param: digest of what the manifest says of a chunk's slides, with masks whose names cannot be inputs."""
    return digest_of_rows(rows_of(wildcards), lambda row: MASKS.get(row.slide_id, []))


def own_method_source(wildcards):
    """Digest of the source of the user's own function; empty where there is none, or only the job's environment has it."""
    own = own_function("tissue.method", CFG.tissue.method)
    try:
        return own.digest() if own else ""
    except UserError:
        return ""
