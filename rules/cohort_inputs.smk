"""Input functions and params of cohort.smk."""


def slide_file(wildcards):
    """The slide's file, or nothing where it is missing: a missing file is a bad slide, not a failed run."""
    path = row_of(wildcards).path
    if is_remote(path):  # features of another tool stand in for the slides, which are not fetched for pictures alone
        return [] if CFG.source.kind else [f"<cohort>/fetched/{wildcards.slide}.json"]
    return as_inputs([path]) if is_demo(path) or os.path.exists(path) else []
