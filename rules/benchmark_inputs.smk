"""Input functions of benchmark.smk."""

from workflow_scripts.core import truth_files
from workflow_scripts.core.heads import HEADS
from workflow_scripts.core.hipt_splits import hipt_files

CELLS = [
    (f"<cohort>/benchmark/{task}/{representation}/{cell}", cell)
    for task in CFG.benchmark.tasks
    for representation in CFG.representations_of(task)
    for cell in stages.cells_of(CFG, task, representation)
]

PREDICTIONS = [f"{folder}/predictions.parquet" for folder, _ in CELLS]

# Where heads that attend look in tested slides.
ATTENTION = [f"{folder}/attention.parquet" for folder, cell in CELLS if cell in HEADS and HEADS[cell].attends]

RETRIEVAL = [
    f"<cohort>/benchmark/{task}/{representation}/retrieval.parquet"
    for task in CFG.benchmark.tasks
    for representation in stages.retrieved(CFG, task)
]

# Heads that are put into the models of runs on the whole cohort; labels that were dealt by chance teach nothing.
EXPORTED_HEADS = [
    f"<cohort>/pretrain/{run}/model/heads/{task}.safetensors"
    for run in CFG.pretrain.runs
    if CFG.benchmark.export_heads and run in CFG.compared and CFG.pretrain.run(run).has_slide_sets
    for task, settings_of_task in CFG.benchmark.tasks.items()
    if not settings_of_task.permuted and run in CFG.representations_of(task)
]


def exported_head(wildcards):
    """Param: settings of the head of a task that is put into models, as JSON."""
    return stages.as_json(stages.exported_head_settings(CFG, wildcards.task))


def embeddings_of(table):
    """Input function: a table of a representation's embeddings, or of each fold's."""

    def files(wildcards):
        return expand(f"<cohort>/embeddings/{{name}}/{table}", name=CFG.embeddings_of(wildcards.representation))

    return files


def embedding_folders(wildcards):
    return expand(f"{COHORT}/embeddings/{{name}}", name=CFG.embeddings_of(wildcards.representation))


def cell_settings(wildcards):
    """Param: settings of the heads of a cell, as JSON."""
    return stages.as_json(stages.cell_settings(CFG, wildcards.task, wildcards.cell, wildcards.representation))


def retrieval_settings(wildcards):
    """Param: whether a representation is a set of prototypes, and the seed, as JSON."""
    return stages.as_json(stages.retrieval_settings(CFG, wildcards.representation))


def retrieval_memory(wildcards, attempt):
    """MB beyond 2,000, the more with each attempt: 8 bytes of likeness a pair of slides, and 16 of what pairs of patients do to the measures."""
    return attempt * (2000 + 24 * (len(ROWS) + len(TEST_ROWS)) ** 2 // 10**6)


def cell_memory(wildcards, attempt):
    """MB of a cell: of heads on sets of prototypes 10 bytes a pair of slides beside what others take."""
    pairs = (len(ROWS) + len(TEST_ROWS)) ** 2 if wildcards.cell == stages.SETS else 0
    return attempt * (8000 + 10 * pairs // 10**6)


def cell_gpus(wildcards):
    """GPUs of a cell: of none where its heads work on slide vectors, or where none is asked for."""
    return GPU * int(CFG.benchmark.gpu and wildcards.cell in HEADS and HEADS[wildcards.cell].wants_gpu)


def label_and_split_files(wildcards):
    """Files beside the manifest that a task's labels and splits are read from."""
    task = CFG.benchmark.tasks[wildcards.task]
    published = hipt_files(task.published) if task.published else []
    return [file for file in (task.table, task.splits.file) if file] + published


def split_content(wildcards):
    """Param: digest of what in the manifests decides labels and splits of a task; other columns run nothing again."""
    task = CFG.benchmark.tasks[wildcards.task]
    parts = task.splits.column or ("part" if task.splits.kind == "column" else None)
    columns = [*task.columns, task.splits.preserve, parts]
    rows = [*ROWS, *(TEST_ROWS if task.splits.test_manifest else [])]
    return value_digest([(row.slide_id, row.patient_id, *map(row.labels.get, columns)) for row in rows])


def test_manifest_of_task(wildcards):
    """Resource: the manifest of the test cohort, where a task tests it."""
    return TEST_MANIFEST if CFG.benchmark.tasks[wildcards.task].splits.test_manifest else ""


def slides_of_task(wildcards):
    """Tables of what is usable of the cohorts from which a task has slides."""
    return ALL_SLIDES if CFG.benchmark.tasks[wildcards.task].splits.test_manifest else ALL_SLIDES[:1]


def truth_maps(wildcards):
    """Maps that the workflow itself makes, or those that the user has of slides of the cohort."""
    if CFG.benchmark.region_truth != f"{CFG.demo.directory}/truth":
        slides = {row.slide_id for row in ROWS}
        maps = truth_files.truth_maps(CFG.benchmark.region_truth)
        return as_inputs(str(path) for path in maps if truth_files.slide_of_map(path, slides))
    files = [os.path.basename(row.path) for row in ROWS if is_demo(row.path)]
    return [f"{CFG.benchmark.region_truth}/{name}.npz" for name in files]
