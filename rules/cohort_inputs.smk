"""Input functions and params of cohort.smk."""


def slide_file(row):
    """The slide's file, or nothing where it is missing: a missing file is a bad slide, not a failed run."""
    path = row.path
    if is_remote(path):  # features of another tool stand in for the slides, which are not fetched for pictures alone
        return [] if CFG.source.kind else [f"<cohort>/fetched/{row.slide_id}.json"]
    return as_inputs([split_series(path)[0]]) if is_demo(path) or slide_exists(path) else []


def row_of(wildcards):
    """The row of the wildcard `slide` in the manifests."""
    if wildcards.slide not in SLIDES:
        manifests = " or ".join(filter(None, [MANIFEST, TEST_MANIFEST]))
        raise WorkflowError(f"no row of {manifests} has the slide_id {wildcards.slide}")
    return SLIDES[wildcards.slide]
