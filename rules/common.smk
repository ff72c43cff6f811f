"""Configuration, manifest and helper functions shared by all rules. Nothing here imports torch or opens a slide."""

import json
import os
import re
import shlex
import sys

sys.path.insert(0, workflow.basedir)

from workflow_scripts.config import load_config, result_settings
from workflow_scripts.config.encoders import is_plug_in
from workflow_scripts.core.digest import code_digest, value_digest
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.fetched import fetched_path, is_remote, read_record
from workflow_scripts.tissue.mask_files import find_masks, orphan_warning
from workflow_scripts.core.manifest import read_manifest, shard_of
from workflow_scripts.encoders.hub import own_weights
from workflow_scripts.encoders.plug_in import plug_in_digest
from workflow_scripts.interchange.places import find_files


def is_demo(path):
    """Whether a slide is made by the workflow itself."""
    return os.path.dirname(path) == CFG.demo.directory


def source_files(row):
    """Files of a slide's features that another tool made."""
    return find_files(CFG.source, row.slide_id, row.path)


def check_files(rows):
    """Refuse a manifest of which no file exists: a folder that is not mounted, or paths from another place."""
    if CFG.source.kind:  # the slides themselves may be gone
        if not any(source_files(row).features for row in rows):
            raise UserError(
                f"source.folder: none of the {len(rows)} slides of {MANIFEST} has a file of {CFG.source.kind}, the first "
                f"looked for is {source_files(next(iter(rows))).looked[0]}; check source.folder and the slide_ids"
            )
        return
    if not any(is_demo(row.path) or is_remote(row.path) or os.path.exists(row.path) for row in rows):
        first = next(iter(rows)).path
        raise UserError(
            f"none of the {len(rows)} slide files of the manifest {MANIFEST} exists, the first is {first}; "
            "check its column path, the folder that the command is run in, and that the slides' disk is mounted"
        )


def check_network(rows):
    """Refuse remote slides that are not fetched yet, unless the config allows the network."""
    wanted = [row for row in rows if is_remote(row.path) and read_record(local_path(row)) is None]
    if wanted and not CFG.cohort.allow_network and not CFG.source.kind:
        raise UserError(
            f"{len(wanted)} slides of the manifest {MANIFEST} are remote, the first is {wanted[0].path}; "
            "set cohort.allow_network: true to fetch them"
        )


def local_path(row):
    """A slide's file: the manifest's path, or where a remote slide is fetched to."""
    return fetched_path(CFG.cohort.name, row.slide_id, row.path) if is_remote(row.path) else row.path


# Jobs start with `python -m workflow_scripts.X` from any working directory, in any environment.
# A plug-in encoder may lie in a PYTHONPATH of the user's own.
PREFIX = f"export PYTHONPATH={shlex.quote(workflow.basedir)}${{{{PYTHONPATH:+:$PYTHONPATH}}}};"
shell.prefix(f"{PREFIX} ")

try:
    CFG = load_config(config)
    MANIFEST = CFG.cohort.manifest
    SLIDES = {row.slide_id: row for row in read_manifest(MANIFEST)}
    check_files(SLIDES.values())
    check_network(SLIDES.values())
    MASKS, ORPHANS = find_masks(CFG.tissue.masks, SLIDES)
except UserError as error:
    raise WorkflowError(str(error)) from None

if ORPHANS:
    logger.warning(orphan_warning(ORPHANS))

if CFG.cohort.allow_network:
    shell.prefix(f"{PREFIX} export SLPD_NETWORK=1; ")

COHORT = CFG.cohort.name
ENCODER = CFG.features.encoder
SHARDS = range(CFG.features.shards)
FEATURES = f"results/{COHORT}/features/{ENCODER}"
SHARD_FILES = [f"{FEATURES}/shard_{shard}.parquet" for shard in SHARDS]
REPRESENTATIONS = [*CFG.embed.baselines, *CFG.pretrain.runs]

PREDICTIONS = [
    f"results/{COHORT}/benchmark/{task}/{representation}/{head}/predictions.parquet"
    for task, spec in CFG.benchmark.tasks.items()
    for representation in REPRESENTATIONS
    for head in CFG.benchmark.heads[spec.kind]
]


wildcard_constraints:
    cohort=re.escape(COHORT),
    encoder=re.escape(ENCODER),
    slide="|".join(map(re.escape, SLIDES)),
    shard=r"\d+",
    run="|".join(map(re.escape, CFG.pretrain.runs)),
    round=r"\d{2}",
    warm_up=r"warm_up_[0-9a-f]{8}",
    baseline="|".join(CFG.embed.baselines) or "none",
    representation="|".join(map(re.escape, REPRESENTATIONS)),
    task="|".join(map(re.escape, CFG.benchmark.tasks)),
    head=r"[a-z0-9_]+",


def settings(section):
    """What of a section decides whether a rule runs again, as JSON with sorted keys."""
    return json.dumps(section if isinstance(section, dict) else result_settings(section), sort_keys=True)


def code(module):
    """Digest of an entry and of every module it imports: a comment reruns nothing, a change what depends on it."""
    return code_digest(f"workflow_scripts.{module}")


def per_slide(pattern):
    """Files of all slides of the manifest, under the cohort's results."""
    return expand(f"results/{COHORT}/{pattern}", slide=SLIDES)


def of_shard(pattern):
    """Input function: files of the slides of the wildcard `shard`."""

    def files(wildcards):
        mine = [s for s in SLIDES if shard_of(s, CFG.features.shards) == int(wildcards.shard)]
        return expand(f"results/{COHORT}/{pattern}", slide=mine)

    return files


def slide_file(wildcards):
    """The slide's file, or nothing where it is missing: a missing file is a bad slide, not a failed run."""
    path = SLIDES[wildcards.slide].path
    if is_remote(path):  # features of another tool stand in for the slides, which are not fetched for pictures alone
        return [] if CFG.source.kind else [f"results/{COHORT}/fetched/{wildcards.slide}.json"]
    return [path] if is_demo(path) or os.path.exists(path) else []


def source_inputs(wildcards):
    return source_files(SLIDES[wildcards.slide]).inputs()


def slide_row(wildcards):
    row = SLIDES[wildcards.slide]
    mpp = row.mpp if row.mpp_y is None else [row.mpp, row.mpp_y]
    return settings({"slide_id": row.slide_id, "path": local_path(row), "mpp": mpp})


def fetch_row(wildcards):
    """What is fetched; only what could not be fetched depends on `cohort.fetch_attempt`."""
    row = SLIDES[wildcards.slide]
    record = read_record(local_path(row))
    attempt = record.attempt if record and not record.reason else CFG.cohort.fetch_attempt
    check = {"size_bytes": row.size_bytes, "sha256": row.sha256, "attempt": attempt}
    return settings({"slide_id": row.slide_id, "url": row.path} | check)


def user_masks(wildcards):
    """The user's own mask of the slide, or nothing."""
    return MASKS.get(wildcards.slide, [])


def tissue_settings():
    """Section `tissue` without the folder of masks: a mask counts for its own slide, as its input."""
    return settings({key: value for key, value in result_settings(CFG.tissue).items() if key != "masks"})


def weights_file(wildcards):
    """The user's own checkpoint, or nothing; a missing one too is nothing here, and the job says what to do."""
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
        return plug_in_digest(CFG.features.model) if is_plug_in(CFG.features.model) else ""
    except UserError:
        return ""


def run_of(wildcards):
    return CFG.pretrain.run(wildcards.run)


def warm_up_folder(run):
    """Folder of a run's warm-up, named by the settings on which it depends."""
    return f"warm_up_{CFG.pretrain.run(run).warm_up_key()}"


def warm_up_settings(wildcards):
    for name in CFG.pretrain.runs:
        if warm_up_folder(name) == wildcards.warm_up:
            return settings(CFG.pretrain.run(name).warm_up_settings())
    raise WorkflowError(f"no run of pretrain.runs has the warm-up {wildcards.warm_up}")


def start_file(wildcards):
    """File that a warm-up starts from; none where it starts from scratch."""
    return json.loads(warm_up_settings(wildcards))["init"] or []


def previous_state(wildcards):
    """State that a round starts from: the warm-up's, or the previous round's."""
    number = int(wildcards.round)
    folder = warm_up_folder(wildcards.run) if number == 1 else f"{wildcards.run}/round_{number - 1:02d}"
    return f"results/{COHORT}/pretrain/{folder}/state.safetensors"


def last_state(wildcards):
    return f"results/{COHORT}/pretrain/{wildcards.run}/round_{run_of(wildcards).rounds:02d}/state.safetensors"


def clustered_tables(run, number, *tables):
    """Tables of the clustering that round `number` of a run distils: its own, or that of a round before."""
    folder = f"results/{COHORT}/pretrain/{run}/round_{CFG.pretrain.run(run).clustered_in(number):02d}"
    return [f"{folder}/{table}.parquet" for table in tables]


def round_tables(wildcards):
    """What a round distils; nothing where a run has L_self alone."""
    if not run_of(wildcards).uses_prototypes:
        return []
    return clustered_tables(wildcards.run, int(wildcards.round), "prototypes", "assignments", "neighbours")


def previous_clustering(wildcards):
    """What a clustering is compared with, and replaced by once the rounds have converged; nothing in round 1."""
    number = int(wildcards.round)
    return clustered_tables(wildcards.run, number - 1, "prototypes", "assignments") if number > 1 else []


def last_assignments(wildcards):
    return clustered_tables(wildcards.run, run_of(wildcards).rounds, "assignments")


def cluster_settings(wildcards):
    section = run_of(wildcards).cluster_settings()
    if int(wildcards.round) == 1:
        section["stop_agreement"] = None  # there is no clustering before that it could agree with
    return settings(section)


def neighbour_settings(wildcards):
    return settings(run_of(wildcards).neighbours)


def distill_settings(wildcards):
    return settings(run_of(wildcards).distill_settings())


def split_settings(wildcards):
    plan = CFG.benchmark
    keys = ("folds", "seed", "validation_fraction")
    return settings({"task": task_settings(wildcards.task)} | {key: getattr(plan, key) for key in keys})


def task_settings(task):
    return CFG.benchmark.tasks[task].model_dump(mode="json")


def truth_maps(wildcards):
    """Maps that the workflow itself makes; maps given by the user are read as they are."""
    if CFG.benchmark.region_truth != f"{CFG.demo.directory}/truth":
        return []
    files = [os.path.basename(row.path) for row in SLIDES.values() if is_demo(row.path)]
    return [f"{CFG.benchmark.region_truth}/{name}.npz" for name in files]


def texture_scores(wildcards):
    """Scores of the prototypes, where there are maps of the true classes."""
    if CFG.benchmark.region_truth is None:
        return []
    runs = [name for name in CFG.pretrain.runs if CFG.pretrain.run(name).uses_prototypes]
    return expand(f"results/{COHORT}/benchmark/textures_{{run}}.parquet", run=runs)


def report_tables(wildcards):
    """Warm-up curves, and the prototypes, assignments and neighbours that the last round distils."""
    files = [f"results/{COHORT}/pretrain/{warm_up_folder(run)}/metrics.parquet" for run in CFG.pretrain.runs]
    for name in CFG.pretrain.runs:
        run = CFG.pretrain.run(name)
        if run.uses_prototypes:
            files += clustered_tables(name, run.rounds, "prototypes", "assignments", "neighbours")
    return sorted(set(files))


def report_settings():
    runs = {name: CFG.pretrain.run(name) for name in CFG.pretrain.runs}
    return settings(
        {
            "report": result_settings(CFG.report),
            "cohort": COHORT,
            "representations": REPRESENTATIONS,
            "runs": {name: run.model_dump(mode="json") for name, run in runs.items()},
            "run_rounds": {name: run.rounds for name, run in runs.items()},
            "warm_ups": {name: warm_up_folder(name) for name in runs},
            "tasks": {name: task_settings(name) for name in CFG.benchmark.tasks},
            "encoder": ENCODER,
            "settings": CFG.model_dump(
                mode="json",
                exclude={
                    "cohort": {"max_failed_fraction", "allow_network", "fetch_attempt"},
                    "slides": {"keep_fetched"},
                    "features": {"batch_size"},
                    "pretrain": {"micro_batch"},
                },
            ),
        }
    )


def check_folder(wildcards):
    return f"results/{wildcards.cohort}/check"


def region_folder(wildcards):
    return f"results/{wildcards.cohort}/regions"


def feature_folder(wildcards):
    return f"results/{wildcards.cohort}/features/{ENCODER}"
