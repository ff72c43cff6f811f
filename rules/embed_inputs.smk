"""Input functions and params of embed.smk."""

from workflow_scripts.config.sets import clusters_slides

# What finds the slides of a model's cohort; runs without prototypes of slides have nothing of the kind.
SEARCHABLE = [
    f"<cohort>/pretrain/{run}/model/prototypes.parquet"
    for run in CFG.pretrain.runs
    if CFG.pretrain.run(run).has_slide_sets
]


def last_clustering(wildcards):
    """Number of the round whose clustering the last round of a run distils."""
    run = run_of(wildcards)
    return run.clustered_in(run.rounds)


def last_prototypes(wildcards):
    return clustered_tables(wildcards.run, run_of(wildcards).rounds, "prototypes")


def clustering_states(wildcards):
    """State that the last clustering saw the slides by; those before it too, where it may be handed on from these."""
    last = last_clustering(wildcards)
    first = last if run_of(wildcards).stop_agreement is None else 1
    return [state_before(wildcards.run, number) for number in range(first, last + 1)]


def last_assignments(wildcards):
    """Which prototype each region belongs to, by the clustering that the last round of a run distils."""
    return clustered_tables(wildcards.run, run_of(wildcards).rounds, "assignments")


def own_clustering(wildcards):
    """Which prototype each region belongs to, where a run clusters slides; nothing of a representation that does not.

    Slides of the test cohort are clustered apart, as the same teacher sees them.
    """
    if not clusters_slides(CFG.pretrain, wildcards.source):
        return []
    tables = ["assignments", "test_assignments"] if TEST_MANIFEST else ["assignments"]
    return clustered_tables(wildcards.source, CFG.pretrain.run(wildcards.source).rounds, *tables)


def set_settings(wildcards):
    """Param: prototypes a slide, and how they are found where no run clusters them, as JSON."""
    return stages.as_json(stages.set_settings(CFG, wildcards.source))


def exported_tasks(wildcards):
    """Param: tasks whose heads are put into the model of a run."""
    folder = f"<cohort>/pretrain/{wildcards.run}/model/heads"
    return [task for task in CFG.benchmark.tasks if f"{folder}/{task}.safetensors" in EXPORTED_HEADS]


def table_file(wildcards):
    return CFG.embed.tables[wildcards.table].file


def pretrained_on(wildcards):
    return CFG.embed.tables[wildcards.table].pretrained_on


def index_memory(wildcards, input, attempt):
    """MB of the vectors, which are held twice, and of the ids; the table is a little smaller than its vectors."""
    return int(attempt * (4000 + 4 * input.size_mb))
