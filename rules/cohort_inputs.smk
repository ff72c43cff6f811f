"""Input functions and params of cohort.smk."""


def slide_file(wildcards):
    """The slide's file, or nothing where it is missing: a missing file is a bad slide, not a failed run."""
    path = SLIDES[wildcards.slide].path
    if is_remote(path):  # features of another tool stand in for the slides, which are not fetched for pictures alone
        return [] if CFG.source.kind else [f"<cohort>/fetched/{wildcards.slide}.json"]
    return [path] if is_demo(path) or os.path.exists(path) else []


def fetch_row(wildcards):
    """What is fetched; only what could not be fetched depends on `cohort.fetch_attempt`."""
    row = SLIDES[wildcards.slide]
    record = read_record(local_path(row))
    attempt = record.attempt if record and not record.reason else CFG.cohort.fetch_attempt
    check = {"size_bytes": row.size_bytes, "sha256": row.sha256, "attempt": attempt}
    return stages.as_json({"slide_id": row.slide_id, "url": row.path} | check)
