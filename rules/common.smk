"""Configuration, manifest and what several rule files share. Nothing here imports torch or opens a slide."""

import atexit
import gc
import os
import re
import shlex
import sys


include: "package.smk"


from workflow_scripts.config import load_config, stages
from workflow_scripts.config.apply import NO_TRAINING, require_no_training
from workflow_scripts.config.files import require_config_file
from workflow_scripts.config.notes import training_notes
from workflow_scripts.config.refusals import refuse
from workflow_scripts.core.answered import answer_in_thread
from workflow_scripts.core.chunks import chunk_count, chunk_of
from workflow_scripts.core.claims import names_of_slides
from workflow_scripts.core.cohorts import read_cohorts
from workflow_scripts.core.digest import code_digest, value_digest
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.fetched import is_remote
from workflow_scripts.core.gpu import may_have_gpu
from workflow_scripts.core.manifest import SLIDE_ID
from workflow_scripts.core.run_lock import JOIN, lock_file, require_unlocked, take
from workflow_scripts.core.series import slide_exists, split_series
from workflow_scripts.encoders.as_trained import require_same_encoder
from workflow_scripts.encoders.hub import require_cached
from workflow_scripts.interchange.places import find_files
from workflow_scripts.representations.slide_table import without_vectors
from workflow_scripts.tissue.mask_files import find_masks, orphan_warning

# A graph of jobs is many objects and no garbage, and looking through all of them over and over, and once more as the
# process ends, takes a third of a dry run.
gc.set_threshold(100_000, 50, 100)
atexit.register(gc.freeze)


def is_demo(path):
    """Whether a slide is made by the workflow itself."""
    return CFG.demo.makes(path)


def source_files(row):
    """Files of a slide's features that another tool made."""
    return find_files(CFG.source, row.slide_id, row.path, SOURCE_NAMES[row.slide_id])


def runs_jobs():
    """Whether this process is a run's main one, or takes a run's lock away; not where it only plans or tells."""
    tells = (
        "--summary",
        "--detailed",
        "--dag",
        "--rulegraph",
        "--filegraph",
        "--d3dag",
        "--report",
        "--list",
        "--lint",
    )
    given = workflow.resource_settings.cores or workflow.resource_settings.nodes or "--unlock" in sys.argv
    may = workflow.is_main_process and not workflow.output_settings.dryrun and "--nolock" not in sys.argv
    return bool(may and given and not any(word.startswith(tells) or word in ("-S", "-D", "-l") for word in sys.argv))


try:
    for FILE in workflow.configfiles if workflow.is_main_process else []:
        require_config_file(FILE)
    CFG = load_config(config)
    MANIFEST, TEST_MANIFEST = CFG.cohort.manifest, CFG.cohort.test_manifest
    COHORT = f"results/{CFG.cohort.name}"  # `<cohort>` in paths, COHORT where a path is handed over as a param
    ROWS, TEST_ROWS = read_cohorts(MANIFEST, TEST_MANIFEST, logger.info if workflow.is_main_process else None)
    SLIDES = {row.slide_id: row for row in [*ROWS, *TEST_ROWS]}
    SOURCE_NAMES = names_of_slides((row.slide_id, row.path) for row in SLIDES.values()) if CFG.source.kind else {}
    if workflow.is_main_process and "--unlock" not in sys.argv:  # its jobs need not be checked again
        for NOTE in [
            *refuse(CFG, ROWS, source_files, require_cached, without_vectors, TEST_ROWS),
            *training_notes(CFG),
        ]:
            logger.warning(NOTE)
    if CFG.apply.model and workflow.is_main_process:
        require_no_training(sys.argv[1:], COHORT)
        if not CFG.source.kind:
            require_same_encoder(CFG.features, CFG.apply.model)
    if runs_jobs() and take(COHORT) and "--unlock" not in sys.argv:
        require_unlocked(COHORT, shlex.join(["snakemake", *sys.argv[1:]]))
    MASKS, ORPHANS = find_masks(CFG.tissue.masks, SLIDES)
except UserError as error:  # an exception would be told with the lines of the rule files that it came through
    logger.error(f"error: {error}")
    raise SystemExit(1) from None

if workflow.is_main_process:
    for RUN, TRAININGS in CFG.pretrain.by_fold.items():
        logger.warning(
            f"pretrain run {RUN} is trained {len(TRAININGS)} times, once for each split of task "
            f"{CFG.pretrain.run(TRAININGS[0]).train_only}, and costs as much as {len(TRAININGS)} runs"
        )

if ORPHANS:
    logger.warning(orphan_warning(ORPHANS))

PREFIX += f"export {JOIN}={shlex.quote(str(lock_file(COHORT)))}; "
if CFG.cohort.allow_network:
    PREFIX += "export SLPD_NETWORK=1; "
shell.prefix(PREFIX)

# GPUs of a job that runs on one if it can: none where jobs run on this machine (--jobs is of a cluster) and it has none,
# for Snakemake would run one such job at a time.
ON_CLUSTER = workflow.remote_exec or workflow.resource_settings.nodes is not None
GPU = int(ON_CLUSTER or may_have_gpu())
if not GPU and workflow.is_main_process:
    logger.info("This machine has no GPU: all jobs run on its cores.")

# Slides of the short stages' jobs, by the name of their chunk. Those of the test cohort are apart, so that one more of
# them does nothing to the others.
CHUNKS = {"": chunk_count(len(ROWS), CFG.features.shards, CFG.slides.per_job)}
CHUNKS["test_"] = chunk_count(len(TEST_ROWS), CFG.features.shards, CFG.slides.per_job)
IN_CHUNK = {}
for COHORT_OF, ITS_ROWS in (("", ROWS), ("test_", TEST_ROWS)):
    for ROW in ITS_ROWS:
        IN_CHUNK.setdefault(f"{COHORT_OF}{chunk_of(ROW.slide_id, CHUNKS[COHORT_OF])}", []).append(ROW)

ENCODER = CFG.features.encoder
SHARDS = range(CFG.features.shards)
SHARD_FILES = [f"<cohort>/features/{ENCODER}/shard_{shard}.parquet" for shard in SHARDS]

# Tables of what is usable and of features, of all slides and not only of those that are pretrained on.
ALL_SLIDES, ALL_SHARD_FILES = ["<cohort>/slides.parquet"], [*SHARD_FILES]
if TEST_MANIFEST:
    TEST_SHARD_FILES = [f"<cohort>/features/{ENCODER}/test_shard_{shard}.parquet" for shard in SHARDS]
    ALL_SLIDES.append("<cohort>/test_slides.parquet")
    ALL_SHARD_FILES += TEST_SHARD_FILES

# New slides by a trained model.
APPLIED = [*ALL_SLIDES, *(f"<cohort>/applied/shard_{shard}.parquet" for shard in SHARDS)]

# Names of all folders of embeddings.
EMBEDDED = [name for representation in CFG.representations for name in CFG.embeddings_of(representation)]


pathvars:
    cohort=COHORT,


wildcard_constraints:
    encoder=re.escape(ENCODER),
    slide=SLIDE_ID,  # not the names of all slides: each pattern of a file holds the text of its constraints
    cohort_of="(test_)?",
    chunk=r"\d+",
    shard=r"\d+",
    run="|".join(map(re.escape, CFG.pretrain.runs)),
    round=r"\d{2}",
    warm_up=r"warm_up_[0-9a-f]{8}",
    baseline="|".join(CFG.embed.baselines) or "none",
    table="|".join(map(re.escape, CFG.embed.tables)) or "none",
    source="|".join(map(re.escape, CFG.prototype_sets.values())) or "none",
    embedded="|".join(map(re.escape, EMBEDDED)),
    representation="|".join(map(re.escape, CFG.representations)),
    task="|".join(map(re.escape, CFG.benchmark.tasks)) or "none",
    cell=r"[a-z0-9_]+",


def settings(rule_name, section=None):
    """Param: what of the configuration decides whether a rule runs again (config.stages), as JSON.

    `section` is one of those that the rule is given whole, the first of them unless it is named.
    """
    if rule_name in stages.SECTIONS:
        sections = stages.SECTIONS[rule_name]
        return stages.as_json(stages.section_settings(CFG, sections[sections.index(section) if section else 0]))
    if rule_name in stages.BY_CONFIG:
        return stages.as_json(stages.BY_CONFIG[rule_name](CFG))
    if rule_name in stages.BY_TASK:
        return lambda wildcards: stages.as_json(stages.BY_TASK[rule_name](CFG, wildcards.task))
    return lambda wildcards: stages.as_json(stages.BY_RUN[rule_name](run_of(wildcards)))


def code(module):
    """Param: digest of an entry and of every module it imports; a comment reruns nothing, a change what depends on it."""
    return code_digest(f"workflow_scripts.{module}")


def result_folder(wildcards):
    return COHORT


def check_folder(wildcards):
    return f"{COHORT}/check"


def region_folder(wildcards):
    return f"{COHORT}/regions"


def feature_folder(wildcards):
    return f"{COHORT}/features/{ENCODER}"


def chunk_files(stage, cohort_of=None, shard=None):
    """Tables of a stage's chunks: of the cohort (""), of the test cohort ("test_"), or of both; of one shard, or of all."""
    names = [name for name in IN_CHUNK if cohort_of is None or cohort_of == name.rstrip("0123456789")]
    if shard is not None:  # chunks lie within shards
        names = [name for name in names if int(name.removeprefix("test_")) % CFG.features.shards == int(shard)]
    return expand(f"<cohort>/{stage}/chunks/{{name}}.parquet", name=names)


def rows_of(wildcards):
    """Rows of the manifest of the wildcards `cohort_of` and `chunk`."""
    name = f"{wildcards.cohort_of}{wildcards.chunk}"
    if name not in IN_CHUNK:
        raise WorkflowError(f"no slide is in the chunk {name}; ask for a target such as tissue")
    return IN_CHUNK[name]


def of_slides(files):
    """Input function: files of all slides of the wildcard `chunk`, from a function of one row."""
    return lambda wildcards: [file for row in rows_of(wildcards) for file in files(row)]


def minutes(start, each):
    """Resource: run time of a chunk's job, from that of its start and of each slide, min."""
    return lambda wildcards: start + each * len(rows_of(wildcards))


def manifest_of(wildcards):
    """Resource: manifest of a chunk's slides, whose name cannot change a result."""
    return TEST_MANIFEST if wildcards.cohort_of else MANIFEST


def other_manifest_of(wildcards):
    return MANIFEST if wildcards.cohort_of else TEST_MANIFEST or ""


def chunks_of(wildcards):
    """Param: how many chunks a cohort has."""
    return CHUNKS[wildcards.cohort_of]


def chunk_rows(wildcards):
    """Param: digest of what the manifest says of a chunk's slides' files."""
    return digest_of_rows(rows_of(wildcards), lambda row: [])


def patients_of(rows):
    """Param: digest of whose slides these are."""
    return value_digest([(row.slide_id, row.patient_id) for row in rows])


def applied_slides(wildcards):
    """Target: what a model says of new slides."""
    if not CFG.apply.model:
        raise WorkflowError(
            "apply.model names no model; give the section apply of the configuration model and manifest"
        )
    return APPLIED


def run_of(wildcards):
    return CFG.pretrain.run(wildcards.run)


def clustered_tables(run, number, *tables):
    """Tables of the clustering that round `number` of a run distils: its own, or that of a round before."""
    folder = f"<cohort>/pretrain/{run}/round_{CFG.pretrain.run(run).clustered_in(number):02d}"
    return [f"{folder}/{table}.parquet" for table in tables]


def as_inputs(paths):
    """Files as input, but for those whose names hold a brace: Snakemake would look for a wildcard in them."""
    return [path for path in paths if "{" not in path]


def digest_of_rows(rows, files, more=lambda row: None):
    """Digest of what the manifest says of slides' files, of more that is told of them, and of the files beside these.

    Of files that cannot be input (`as_inputs`) the time stands here, so that a change of them is seen all the same.
    """
    told = []
    for row in rows:
        settings = stages.slide_settings(CFG.cohort.name, row)
        odd = [path for path in (settings["path"], *files(row)) if "{" in path and os.path.exists(path)]
        told.append([settings, more(row), [(path, os.stat(path).st_mtime_ns) for path in odd]])
    return value_digest(told)
