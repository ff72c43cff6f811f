"""Input functions of report.smk."""

from workflow_scripts.report.manifest_columns import few_valued, label_columns_of
from workflow_scripts.report.settings import pictures_apart

# Larger pictures of slides, where there are many.
PICTURES = {"pictures": directory("<cohort>/report_files")} if pictures_apart(len(SLIDES)) else {}
# Sections of the page, in the order of its tabs, its look and its scripts.
SECTIONS = "report findings results cohort slides prototypes explained atlas training settings".split()
SCRIPTS = "report slide_table slide_view slide_pages slide_map downloads".split()
TEMPLATES = [*(f"{name}.html" for name in SECTIONS), "report.css", *(f"{name}.js" for name in SCRIPTS)]


def report_tables(wildcards):
    """Warm-up curves; prototypes, assignments and neighbours that the last round distils, and groups of prototypes."""
    runs = {name: CFG.pretrain.run(name) for name in CFG.pretrain.runs}
    files = [f"<cohort>/pretrain/{stages.warm_up_folder(run)}/metrics.parquet" for run in runs.values()]
    for name, run in runs.items():
        if run.uses_prototypes:
            files += clustered_tables(name, run.rounds, "prototypes", "assignments", "neighbours")
            files += [f"<cohort>/pretrain/{name}/{table}.parquet" for table in ("groups", "atlas")]
    return sorted(set(files))


def texture_scores(wildcards):
    """Scores of the prototypes, where there are maps of the true classes."""
    if CFG.benchmark.region_truth is None:
        return []
    return expand("<cohort>/benchmark/textures_{run}.parquet", run=GROUPED_RUNS)


def attention_there(wildcards):
    """Where the region encoders look, of the runs of which it was asked for: the report shows it, and asks for none."""
    runs = [run for run in CFG.pretrain.runs if os.path.exists(f"{COHORT}/pretrain/{run}/attention.parquet")]
    return expand("<cohort>/pretrain/{run}/attention.parquet", run=runs)


def manifest_colours(wildcards):
    """Param: digest of the columns of the manifests that slides are coloured by; others write nothing again."""
    return value_digest(few_valued([*ROWS, *TEST_ROWS], label_columns_of(CFG.benchmark.tasks.values())))
