"""Input functions of atlas.smk."""

GROUPED_RUNS = stages.with_prototypes({name: CFG.pretrain.run(name) for name in CFG.pretrain.runs})


def clustering_to_group(wildcards):
    """Prototypes and assignments that the last round distils."""
    return clustered_tables(wildcards.run, run_of(wildcards).rounds, "prototypes", "assignments")


def clustering_before(wildcards):
    """Those of the clustering before; nothing where there was one alone."""
    run = run_of(wildcards)
    last = run.clustered_in(run.rounds)
    return clustered_tables(wildcards.run, last - 1, "prototypes", "assignments") if last > 1 else []


def class_labels(wildcards):
    """Labels of the tasks with classes."""
    return expand("<cohort>/benchmark/{task}/labels.parquet", task=stages.class_tasks(CFG.benchmark.tasks))


def labels_to_choose_by(wildcards):
    """Labels of the first task with classes, by which example slides are chosen."""
    return class_labels(wildcards)[:1]


def groups_and_assignments(name):
    """Groups of a run, and the assignments that were grouped."""
    assigned = clustered_tables(name, CFG.pretrain.run(name).rounds, "assignments")
    return [f"<cohort>/pretrain/{name}/groups.parquet", *assigned]


def groups_of_other_runs(wildcards):
    """Groups and assignments of each other run that has prototypes."""
    return [file for name in GROUPED_RUNS if name != wildcards.run for file in groups_and_assignments(name)]


def shown_run():
    """The run whose groups are shown: the first that has any, as in the report."""
    if not GROUPED_RUNS:
        raise WorkflowError("no run of pretrain.runs has prototypes, so there are no groups; give a run a loss on them")
    return GROUPED_RUNS[0]


def groups_of_shown_run(wildcards):
    return f"<cohort>/pretrain/{shown_run()}/groups.parquet"


def assignments_of_shown_run(wildcards):
    return clustered_tables(shown_run(), CFG.pretrain.run(shown_run()).rounds, "assignments")


def scores_of_shown_run(wildcards):
    """Predictions of each task's primary head on the run's embeddings."""
    return [
        f"<cohort>/benchmark/{task}/{shown_run()}/{stages.cell_of(head)}/predictions.parquet"
        for task, head in stages.primary_heads(CFG).items()
        if shown_run() in CFG.representations_of(task)
    ]


def groups_for_embeddings(wildcards):
    """Groups and assignments of the run that embeds, else of the run that is shown; nothing where no run has any."""
    own = [name for name in (wildcards.embedded, *GROUPED_RUNS) if name in GROUPED_RUNS][:1]
    return [file for name in own for file in groups_and_assignments(name)]


def embedding_folder(wildcards):
    return f"{COHORT}/embeddings/{wildcards.embedded}"


def training_metrics(wildcards):
    """Curves of all runs, warm-ups and rounds."""
    runs = {name: CFG.pretrain.run(name) for name in CFG.pretrain.runs}
    folders = {stages.warm_up_folder(run) for run in runs.values()}
    folders |= {f"{name}/round_{number:02d}" for name, run in runs.items() for number in range(1, run.rounds + 1)}
    return expand("<cohort>/pretrain/{folder}/metrics.parquet", folder=sorted(folders))


def group_tables(wildcards):
    """What the figures of groups are drawn from; nothing where no run has groups."""
    if not GROUPED_RUNS:
        return []
    run = shown_run()
    clustered = clustered_tables(run, CFG.pretrain.run(run).rounds, "assignments", "neighbours")
    return [f"<cohort>/pretrain/{run}/groups.parquet", f"<cohort>/pretrain/{run}/atlas.parquet", *clustered]


def assignments_of_grouped_runs(wildcards):
    """Assignments of the last clustering of each run that has prototypes, in the order of `GROUPED_RUNS`."""
    return [
        file for name in GROUPED_RUNS for file in clustered_tables(name, CFG.pretrain.run(name).rounds, "assignments")
    ]


def embeddings_to_explain_by(wildcards):
    """Embeddings of the regions whose plain k-means is a control."""
    names = {control for name in GROUPED_RUNS for control in stages.controls(CFG, name)}
    return expand("<cohort>/embeddings/{name}/regions.parquet", name=sorted(names))


def colour_to_explain_by(wildcards):
    """The colour of the regions, where it is one of the baselines; what an earlier config left is not read."""
    return ["<cohort>/embeddings/colour/regions.parquet"] if "colour" in CFG.embed.baselines else []


def truth_to_explain_by(wildcards):
    return truth_maps(wildcards) if CFG.benchmark.region_truth else []
