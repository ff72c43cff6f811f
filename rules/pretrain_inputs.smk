"""Input functions and params of pretrain.smk: which state and which tables a step of a run starts from."""

import json


def runs_of_warm_up(wildcards):
    """The runs that start with a warm-up; what decides its result is the same in all."""
    runs = map(CFG.pretrain.run, CFG.pretrain.runs)
    if found := [run for run in runs if stages.warm_up_folder(run) == wildcards.warm_up]:
        return found
    raise WorkflowError(f"no run of pretrain.runs has the warm-up {wildcards.warm_up}")


def warm_up_settings(wildcards):
    return stages.as_json(stages.BY_RUN["warm_up"](runs_of_warm_up(wildcards)[0]))


def trained_runs(wildcards):
    """The run of a round, or those that start with a warm-up."""
    return [run_of(wildcards)] if wildcards.get("run") else runs_of_warm_up(wildcards)


def compile_steps(wildcards):
    return str(trained_runs(wildcards)[0].compile).lower()


def deterministic_steps(wildcards):
    """Whether any of the runs wants the same bits."""
    return str(any(run.deterministic for run in trained_runs(wildcards))).lower()


def pretrain_slides(wildcards):
    """Table of the slides that a run is pretrained on: all of the cohort, or those that one fold learns from."""
    run = trained_runs(wildcards)[0]
    chosen = f"pretrain/slides/{run.train_only}_fold{run.fold}.parquet" if run.train_only else "slides.parquet"
    return f"<cohort>/{chosen}"


def start_file(wildcards):
    """File that a warm-up starts from; none where it starts from scratch."""
    if CFG.apply.model:
        raise WorkflowError(f"{NO_TRAINING}; ask for apply, or leave the section apply out")
    return json.loads(warm_up_settings(wildcards))["init"] or []


def state_before(run, number):
    """State that round `number` of a run starts from."""
    first = stages.warm_up_folder(CFG.pretrain.run(run))
    folder = first if number == 1 else f"{run}/round_{number - 1:02d}"
    return f"<cohort>/pretrain/{folder}/state.safetensors"


def previous_state(wildcards):
    """State that a round starts from: the warm-up's, or the previous round's."""
    return state_before(wildcards.run, int(wildcards.round))


def last_state(wildcards):
    return f"<cohort>/pretrain/{wildcards.run}/round_{run_of(wildcards).rounds:02d}/state.safetensors"


def cluster_settings(wildcards):
    return stages.as_json(stages.cluster_settings(run_of(wildcards), int(wildcards.round)))


def previous_clustering(wildcards):
    """What a clustering is compared with, and replaced by once the rounds have converged; nothing in round 1."""
    number = int(wildcards.round)
    return clustered_tables(wildcards.run, number - 1, "prototypes", "assignments") if number > 1 else []


def round_tables(wildcards):
    """What a round distils; nothing where a run has L_self alone."""
    if not run_of(wildcards).uses_prototypes:
        return []
    return clustered_tables(wildcards.run, int(wildcards.round), "prototypes", "assignments", "neighbours")
