"""Every key of the configuration, as the models have it, and which rules run again when it is edited.

The rules are computed: a key is edited, and the settings that each rule is given (`config.stages`) are compared.
"""

import json
import warnings
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

from workflow_scripts.config import Config, PretrainRun, Task
from workflow_scripts.config.embed import prototypes_of
from workflow_scripts.config.stages import (
    BY_CONFIG,
    BY_RUN,
    BY_TASK,
    SECTIONS,
    cell_settings,
    cells,
    clustering_of_sets,
    retrieval_settings,
    section_settings,
)
from workflow_scripts.core.heads import heads_for
from workflow_scripts.core.tasks import KINDS

_RUN = "pretrain.defaults"
_OF_SETS = "mean"
_INDEX = "index_features where source is set"
_CHOOSE = "choose_slides and pretraining of runs that are trained by folds"
# Keys that change which jobs there are, or what they read, and not their settings; by the longest matching start.
_WIRING = {
    "cohort": "all rules, into a new folder",
    "cohort.manifest": "by its rows, its name alone runs nothing: extract_features, summarise_cohort, split_patients, "
    "write_report; "
    f"{_INDEX}; {_CHOOSE}",
    "cohort.test_manifest": "extract_features and summarise_cohort of its slides, embeddings, fit_head, "
    "measure_retrieval; split_patients of tasks that test it",
    "cohort.fetch_attempt": "fetch_slide and all after it, for what could not be fetched",
    "slides.per_job": "check_slide, segment_tissue, tile_regions and extract_features, which make no slide again, "
    "and all after them",
    "tissue.masks": "segment_tissue of the slides whose mask comes, goes or changes",
    "features.encoder": "extract_features and all after it; import_features where source is set",
    "features.shards": "extract_features, which encodes no slide again, and all after it; pretraining takes its last "
    "results back",
    "source.kind": "import_features and index_features in place of tile_regions and extract_features",
    f"{_RUN}.recluster_every": "distill_round of the rounds whose prototypes change",
    f"{_RUN}.rounds": "new rounds only",
    f"{_RUN}.train_only": "choose_slides, the run's trainings on these, and all after them",
    f"{_RUN}.fold": "what names it, which is the workflow itself",
    f"{_RUN}.seeds": "trainings by new seeds only, fit_head and measure_retrieval on them, collect_results, "
    "explain_prototypes",
    "pretrain.preset": "as the keys that it replaces",
    "pretrain.runs": "as the keys that a run replaces",
    "embed": "new representations only, collect_results",
    "embed.prototypes": "embed_prototypes, fit_head and measure_retrieval of new sets, collect_results",
    "embed.baselines": "new representations only, collect_results, explain_prototypes",
    "embed.tables.<name>": "embed_table of that table, fit_head and measure_retrieval on it, collect_results",
    "benchmark.tasks": "split_patients, fit_head and measure_retrieval of that task; choose_slides and pretraining "
    "by its folds; export_heads of it and export_prototypes where export_heads is set",
    "benchmark.heads": "new MIL heads only, all heads on slide vectors, collect_results",
    "benchmark.set_heads": "on sets of prototypes alone: new MIL heads, the others together, collect_results",
    "benchmark.primary_heads": "collect_results",
    "benchmark.export_heads": "export_heads, export_prototypes",
    "apply": "apply_slides, and before it what a model with other settings, or rows of a manifest, ask for",
    "report": "draw_figures, write_report",
    "report.groups": "group_prototypes, describe_groups, score_textures, export_qupath, draw_figures, write_report",
    "report.spread": "export_results, write_report",
}
# Said in words above the tables of config/README.md, for it holds for nearly every key.
_ALWAYS = {"write_report", "export_results", "export_model", "export_prototypes", "draw_figures"}
# Rules that run only where the configuration asks for what they do.
_WHERE = {
    "import_features": "where source is set",
    "embed_prototypes": "of sets that no run clusters",
    "choose_slides": _CHOOSE.removeprefix("choose_slides "),
}


class Key(NamedTuple):
    """One key of the configuration: dotted name, JSON schema of its value, `free` where it cannot change a result."""

    name: str
    schema: dict[str, Any]
    default: str
    free: bool

    @property
    def reruns(self) -> str:
        """The rules that run again when the key is edited, in words."""
        if self.free:
            return "nothing"
        starts = [start for start in _WIRING if f"{self.name}.".startswith(f"{start}.")]
        return _WIRING[max(starts, key=len)] if starts else _in_words(dependents(self.name))


def _in_words(rules: list[str]) -> str:
    plain = ", ".join(rule for rule in rules if rule not in _WHERE)
    return "; ".join(
        [*([plain] if plain else []), *(f"{rule} {where}" for rule, where in _WHERE.items() if rule in rules)]
    )


def dependents(key: str) -> list[str]:
    """Rules whose settings change with a key, without those that nearly every key runs again.

    Args:
        key: dotted name, such as `pretrain.defaults.loss.intra_weight`.
    """
    before = _settings(Config(), PretrainRun())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a value that is not of the field's type: any other value will do
        if key.startswith(f"{_RUN}."):
            after = _settings(Config(), _edited(PretrainRun(), key.removeprefix(f"{_RUN}.").split(".")))
        else:
            after = _settings(_edited(Config(), key.split(".")), PretrainRun())
    return [rule for rule, settings in after.items() if settings != before[rule] and rule not in _ALWAYS]


def _edited(model: Any, path: list[str]) -> Any:
    """Copy of a model with another value, not validated, at a path of field names."""
    name, *rest = path
    value = getattr(model, name)
    other = _edited(value, rest) if rest else ("edited", json.dumps(value, default=str))
    return model.model_copy(update={name: other})


def _settings(config: Config, run: PretrainRun) -> dict[str, Any]:
    """Settings of every rule, in the order of the stages."""
    task = _with_tasks(config)
    return {
        **{rule: [section_settings(config, name) for name in names] for rule, names in SECTIONS.items()},
        **{rule: settings(run) for rule, settings in BY_RUN.items()},
        **{rule: [of(task, kind) for kind in KINDS] for rule, of in BY_TASK.items()},
        "embed_prototypes": clustering_of_sets(run),
        "fit_head": [
            cell_settings(task, kind, cell, name)
            for kind in KINDS
            for name, sets in ((_OF_SETS, False), (prototypes_of(_OF_SETS), True))
            for cell in cells(task, kind, sets)
        ],
        "measure_retrieval": retrieval_settings(config, "mean"),
        **{rule: settings(config) for rule, settings in BY_CONFIG.items() if rule not in _ALWAYS},
    }


def _with_tasks(config: Config) -> Config:
    """With a task of every kind, named by it, all heads, and sets of prototypes."""
    tasks = {name: Task(kind=name, **{key: "some" for key in kind.columns}) for name, kind in KINDS.items()}
    every = {"tasks": tasks, "heads": {kind: heads_for(kind) for kind in KINDS}}
    embed = config.embed.model_copy(update={"prototypes": [_OF_SETS]})
    return config.model_copy(update={"embed": embed, "benchmark": config.benchmark.model_copy(update=every)})


def _below(schema: dict[str, Any], start: str, defs: dict[str, Any]) -> Iterator[Key]:
    """All keys below `start`, depth first; the entries of a dict of models are named `<name>`."""
    for name, field in schema["properties"].items():
        full, ref = f"{start}{name}", field.get("$ref")
        if ref:
            yield from _below(defs[ref.rsplit("/", 1)[1]], f"{full}.", defs)
            continue
        yield Key(full, field, json.dumps(field["default"]) if "default" in field else "required", "free" in field)
        entry = next(iter(field.get("patternProperties", {}).values()), field.get("additionalProperties"))
        if isinstance(entry, dict) and "$ref" in entry:
            yield from _below(defs[entry["$ref"].rsplit("/", 1)[1]], f"{full}.<name>.", defs)


@cache
def config_keys() -> list[Key]:
    """All keys in the order of the models."""
    schema = Config.model_json_schema()
    return list(_below(schema, "", schema["$defs"]))
