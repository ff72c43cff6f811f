"""Every key of the configuration, as the models have it, and which rules run again when it is edited."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from workflow_scripts.config import Config

_RUN = "pretrain.defaults"
# Rules that run again when a key is edited, by the longest matching start of the key.
RERUNS = {
    "cohort": "all rules, into a new folder",
    "cohort.manifest": "extract_features, summarise_cohort, split_patients, fit_head",
    "cohort.fetch_attempt": "fetch_slide and all after it, for what could not be fetched",
    "demo": "make_demo_slide",
    "slides": "check_slide; import_features where source is set",
    "tissue": "segment_tissue",
    "tissue.masks": "segment_tissue of the slides whose mask comes, goes or changes",
    "regions": "tile_regions, extract_features; import_features where source is set",
    "features": "extract_features",
    "features.encoder": "extract_features and all after it",
    "features.shards": "extract_features, summarise_cohort",
    "source": "import_features, index_features",
    "export": "export_features",
    _RUN: "warm_up, cluster_regions, distill_round",
    f"{_RUN}.optimiser": "warm_up, distill_round",
    f"{_RUN}.loss": "warm_up, distill_round",
    f"{_RUN}.loss.self_weight": "distill_round",
    f"{_RUN}.loss.intra_weight": "distill_round",
    f"{_RUN}.loss.inter_weight": "distill_round",
    f"{_RUN}.loss.proto_center": "distill_round",
    f"{_RUN}.loss.skip_same_index": "distill_round",
    f"{_RUN}.init": "warm_up",
    f"{_RUN}.prototypes": "cluster_regions",
    f"{_RUN}.prototypes.level": "cluster_regions, distill_round",
    f"{_RUN}.prototypes.features": "cluster_regions, distill_round",
    f"{_RUN}.recluster_every": "distill_round of the rounds whose prototypes change",
    f"{_RUN}.stop_agreement": "cluster_regions",
    f"{_RUN}.neighbours": "assign_neighbours",
    f"{_RUN}.warmup_epochs": "warm_up, distill_round",
    f"{_RUN}.rounds": "new rounds only",
    f"{_RUN}.epochs_per_round": "distill_round",
    f"{_RUN}.schedule_epochs": "warm_up, distill_round",
    "pretrain.preset": "as the keys that it replaces",
    "pretrain.micro_batch": "nothing",
    "pretrain.runs": "as the keys that a run replaces",
    "embed": "new baselines only, collect_results",
    "benchmark.tasks": "split_patients, fit_head of that task",
    "benchmark.heads": "new heads only, collect_results",
    "benchmark.folds": "split_patients",
    "benchmark.validation_fraction": "split_patients",
    "benchmark.seed": "split_patients, fit_head, collect_results, score_textures",
    "benchmark.bootstraps": "collect_results",
    "benchmark.baseline": "collect_results",
    "benchmark.region_truth": "score_textures",
    "report": "write_report",
}


class Key(NamedTuple):
    """One key of the configuration: dotted name, JSON schema of its value, `free` where it cannot change a result."""

    name: str
    schema: dict[str, Any]
    default: str
    free: bool

    @property
    def reruns(self) -> str:
        starts = [start for start in RERUNS if f"{self.name}.".startswith(f"{start}.")]
        return "nothing" if self.free else RERUNS[max(starts, key=len)]


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


def config_keys() -> list[Key]:
    """All keys in the order of the models."""
    schema = Config.model_json_schema()
    return list(_below(schema, "", schema["$defs"]))
