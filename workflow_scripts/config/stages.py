"""What of the configuration each rule depends on: the settings that it is given, and that decide whether it runs again.

The rules take their params from here, and `config.reruns` tells from the same tables what an edited key runs again.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from workflow_scripts.config import Config, PretrainRun, Task, result_settings
from workflow_scripts.config.published import departures
from workflow_scripts.config.sets import clusters_slides
from workflow_scripts.core.fetched import local_path, read_record
from workflow_scripts.core.heads import HEADS
from workflow_scripts.core.manifest import SlideRow
from workflow_scripts.core.tasks import KINDS

Settings = dict[str, Any]

# Sections that a rule is given whole.
SECTIONS: dict[str, tuple[str, ...]] = {
    "make_demo_slide": ("demo",),
    "check_slide": ("slides",),
    "segment_tissue": ("tissue",),
    "tile_regions": ("regions",),
    "extract_features": ("features", "regions"),
    "import_features": ("source", "regions", "slides"),
    "export_features": ("export", "regions"),
}

_OF_NO_SLIDE = {("tissue", "masks"), ("slides", "per_job")}


def section_settings(config: Config, section: str) -> Settings:
    """A section without its free keys and those that decide of no file, as the masks' folder: a mask is an input."""
    settings = result_settings(getattr(config, section))
    return {key: value for key, value in settings.items() if (section, key) not in _OF_NO_SLIDE}


# Where things lie on one machine, and how work is dealt out: no part of how a slide is treated.
_OF_ONE_MACHINE = {("features", key) for key in ("weights", "allow_network", "hub_folder", "shards")}
TREATMENT = ("slides", "tissue", "regions", "features")
"""Sections by which a slide becomes features."""


def treatment_settings(config: Config) -> Settings:
    """How slides of a cohort are treated, by which a model's new slides are treated alike: its sections `TREATMENT`.

    Where another tool made the features, `source` with the tool's name, too.
    """
    found: Settings = {
        section: {
            key: value
            for key, value in section_settings(config, section).items()
            if (section, key) not in _OF_ONE_MACHINE
        }
        for section in TREATMENT
    }
    return found | ({"source": {"kind": config.source.kind}} if config.source.kind else {})


def task_settings(config: Config, task: str) -> Settings:
    """A task of the benchmark."""
    return config.benchmark.tasks[task].model_dump(mode="json")


def benchmark_settings(config: Config, *keys: str) -> Settings:
    """Some keys of section `benchmark`."""
    return {key: getattr(config.benchmark, key) for key in keys}


def slide_settings(cohort: str, row: SlideRow) -> Settings:
    """What the manifest says of a slide's file."""
    mpp = row.mpp if row.mpp_y is None else [row.mpp, row.mpp_y]
    return {"slide_id": row.slide_id, "path": local_path(cohort, row.slide_id, row.path), "mpp": mpp}


def fetch_settings(config: Config, row: SlideRow) -> Settings:
    """What is fetched of a remote slide; only what could not be fetched depends on `cohort.fetch_attempt`."""
    record = read_record(local_path(config.cohort.name, row.slide_id, row.path))
    attempt = record.attempt if record and not record.reason else config.cohort.fetch_attempt
    check = {"size_bytes": row.size_bytes, "sha256": row.sha256, "attempt": attempt}
    return {"slide_id": row.slide_id, "url": row.path} | check


def warm_up_folder(run: PretrainRun) -> str:
    """Folder of a run's warm-up, named by the settings on which it depends, so that equal warm-ups are one."""
    return f"warm_up_{run.warm_up_key()}"


def cluster_settings(run: PretrainRun, number: int) -> Settings:
    """Settings of the clustering of round `number`; the first has no earlier one that it could agree with."""
    settings = run.cluster_settings()
    return settings if number > 1 else settings | {"stop_agreement": None}


def report_settings(config: Config) -> Settings:
    """What the report is told: see `report.settings.ReportSettings`."""
    runs = {name: config.pretrain.run(name) for name in config.pretrain.runs}
    return {
        "report": result_settings(config.report),
        "cohort": config.cohort.name,
        "test_cohort": config.cohort.test_manifest is not None,
        "representations": config.compared,
        # a command line has room for 128 KiB, and the settings of a hundred runs in full take more
        "runs": {name: result_settings(run, exclude_defaults=True) for name, run in runs.items()},
        "run_rounds": {name: run.rounds for name, run in runs.items()},
        "warm_ups": {name: warm_up_folder(run) for name, run in runs.items()},
        "tasks": {name: task_settings(config, name) for name in config.benchmark.tasks},
        # JSON with sorted keys (`as_json`) does not keep it
        "order": {"runs": list(runs), "tasks": list(config.benchmark.tasks)},
        "trainings": {name: names for name, names in config.trainings.items() if len(names) > 1},
        "official": {name: departures(config, name) for name in runs if config.pretrain.preset_of(name) == "official"},
        "encoder": config.features.encoder,
        "settings": result_settings(config),
    }


def split_settings(config: Config, task: str) -> Settings:
    """What decides the splits of a task."""
    return {"task": task_settings(config, task), **config.benchmark.dealing(task)}


def fold_settings(config: Config, task: str) -> Settings:
    """What decides whom the folds of a task test: its splits without their budgets and validation part."""
    dealing = config.benchmark.dealing(task)
    whole: Settings = {"train_fractions": None, "few_shot": {}, "family": None, "slides_of_patient": "average"}
    return {"task": task_settings(config, task) | whole, **{key: dealing[key] for key in ("folds", "repeats", "seed")}}


def with_prototypes(runs: Mapping[str, PretrainRun]) -> list[str]:
    """Runs that have prototypes, those of slides before those of the whole cohort, else in order.

    The first is the one whose groups and maps are shown.
    """
    return sorted((name for name, run in runs.items() if run.uses_prototypes), key=lambda n: not runs[n].has_slide_sets)


def controls(config: Config, run: str) -> list[str]:
    """Embeddings whose plain k-means is the control of a run's prototypes.

    The mean of patches, and the runs without prototypes of the same seed and slides.
    """
    own, runs = config.pretrain.run(run), {name: config.pretrain.run(name) for name in config.pretrain.runs}
    alike = [name for name, other in runs.items() if not other.uses_prototypes and _slides(other) == _slides(own)]
    return [*(name for name in config.embed.baselines if name == "mean"), *alike]


def _slides(run: PretrainRun) -> tuple[int, str | None, int | None]:
    return run.seed, run.train_only, run.fold


def explained_settings(config: Config) -> Settings:
    """What `explain_prototypes` is given: the clustering of each run with prototypes, its controls, and the truth."""
    runs = {name: config.pretrain.run(name) for name in config.pretrain.runs}
    asked = {
        name: {"prototypes": result_settings(runs[name].prototypes), "seed": runs[name].seed}
        | {"controls": controls(config, name)}
        for name in with_prototypes(runs)
    }
    return {"runs": asked, **benchmark_settings(config, "region_truth")}


def training_settings(run: PretrainRun) -> Settings:
    """Settings of one training, whatever other seeds its run is trained by."""
    return result_settings(run.model_copy(update={"seeds": 1}))


def class_tasks(tasks: Mapping[str, Task]) -> list[str]:
    """Tasks whose labels are classes, without those whose labels are dealt by chance."""
    return [name for name, task in tasks.items() if KINDS[task.kind].has_classes and not task.permuted]


def primary_heads(config: Config) -> dict[str, str]:
    """The head that claims are made of, by task; without the tasks whose labels are dealt by chance."""
    tasks, primary = config.benchmark.tasks.items(), config.benchmark.primary()
    return {name: primary[task.kind] for name, task in tasks if not task.permuted}


# Settings of the other rules: of the whole configuration, of one task, and of one pretraining run.
BY_CONFIG: dict[str, Callable[[Config], Settings]] = {
    "collect_results": lambda config: {
        "compare": config.pairs,
        "primary": config.benchmark.primary(),
        "trainings": config.trainings,
        "sets": {name: of for name, of in config.prototype_sets.items() if name in config.compared},
    },
    "export_results": lambda config: {
        "spread": config.report.spread,
        "tasks": list(config.benchmark.tasks),
        "representations": config.compared,
        "controls": [name for name, task in config.benchmark.tasks.items() if task.permuted],
    },
    "group_prototypes": lambda config: {"groups": config.report.groups},
    "describe_groups": lambda config: {
        "tasks": {name: config.benchmark.tasks[name].classes for name in class_tasks(config.benchmark.tasks)}
    },
    "export_qupath": lambda config: {"heads": primary_heads(config)},
    "score_textures": lambda config: benchmark_settings(config, "region_truth", "seed"),
    "explain_prototypes": explained_settings,
    "draw_figures": lambda config: report_settings(config) | {"settings": {}},  # which the report alone prints
    "write_report": report_settings,
}
BY_TASK: dict[str, Callable[[Config, str], Settings]] = {
    "split_patients": split_settings,
    "choose_slides": fold_settings,
}
BY_RUN: dict[str, Callable[[PretrainRun], Settings]] = {
    "warm_up": lambda run: run.warm_up_settings(),
    "cluster_regions": lambda run: run.cluster_settings(),
    "assign_neighbours": lambda run: result_settings(run.neighbours),
    "distill_round": lambda run: run.distill_settings(),
    "export_model": training_settings,
    "export_prototypes": training_settings,
}


VECTORS, SETS = "vectors", "sets"
"""The cells of all heads on slide vectors, which take seconds, and of all that compare sets of prototypes."""


def cell_of(head: str) -> str:
    """The cell that fits a head."""
    entry = HEADS.get(head)
    return VECTORS if entry and entry.light else SETS if entry and entry.prototypes else head


def cells(config: Config, kind: str, sets: bool = False) -> dict[str, list[str]]:
    """Jobs of the heads of a kind of task, on sets of prototypes or on all else: names of heads by the cell of each."""
    heads = config.benchmark.heads_of(kind, sets)
    order = sorted({cell_of(head): None for head in heads}, key=lambda cell: cell != VECTORS)
    return {cell: [head for head in heads if cell_of(head) == cell] for cell in order}


def cells_of(config: Config, task: str, representation: str) -> list[str]:
    """Jobs of the heads of a task on one representation."""
    return list(cells(config, config.benchmark.tasks[task].kind, representation in config.prototype_sets))


def cell_settings(config: Config, task: str, cell: str, representation: str) -> Settings:
    """Settings of the heads of one cell."""
    heads = cells(config, config.benchmark.tasks[task].kind, representation in config.prototype_sets)[cell]
    known = {head: config.benchmark.head_settings.of(head) for head in heads}
    seeds = config.benchmark.seeds if any(HEADS[head].seeded for head in heads) else 1
    return {"heads": known, "seeds": seeds, "seed": config.benchmark.seed}


def exported_head_settings(config: Config, task: str) -> Settings:
    """Settings of the head of a task that is put into models: the one that claims are made of, on all slides."""
    head = config.benchmark.primary()[config.benchmark.tasks[task].kind]
    return {"heads": {head: config.benchmark.head_settings.of(head)}, "seeds": 1, "seed": config.benchmark.seed}


def clustering_of_sets(run: PretrainRun) -> Settings:
    """What decides the k-means of regions whose representation brings no clustering of its own."""
    keys = {"count", "min_regions", "iterations", "restarts", "kmeans"}
    return {"cluster": run.prototypes.model_dump(mode="json", include=keys), "seed": run.seed}


def set_settings(config: Config, source: str) -> Settings:
    """What `embed_prototypes` is given of the sets of a representation: prototypes a slide, and how they are found.

    A run has its own settings; those of `pretrain.defaults` are of what is not trained here.
    """
    run = config.pretrain.run(source) if source in config.pretrain.runs else config.pretrain.defaults
    found = {} if clusters_slides(config.pretrain, source) else clustering_of_sets(run)
    return {"count": run.prototypes.count} | found


def retrieved(config: Config, task: str) -> list[str]:
    """Representations that slides of a task are retrieved by: all in a task of classes.

    But for those that are trained for each fold, whose folds are no vectors of one space.
    """
    if not KINDS[config.benchmark.tasks[task].kind].has_classes:
        return []
    return [name for name in config.representations_of(task) if name not in config.pretrain.by_fold]


def retrieval_settings(config: Config, representation: str) -> Settings:
    """What `measure_retrieval` is given."""
    return {"prototypes": representation in config.prototype_sets, "seed": config.benchmark.seed}


def as_json(settings: Settings) -> str:
    """Settings as a rule's param: Snakemake compares its text, so the order of keys must not change it."""
    return json.dumps(settings, sort_keys=True)
