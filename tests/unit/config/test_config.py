"""The configuration: defaults, messages, merging, and what of it decides a rerun."""

import copy
import json
import re

import pytest
from pydantic import BaseModel

from workflow_scripts.config import (
    Cohort,
    Config,
    Features,
    Section,
    load_config,
    merge,
    result_settings,
)
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.heads import default_heads
from workflow_scripts.core.tasks import KINDS


def tables(name):
    return {"embed": {"tables": {name: {"file": "a.csv", "pretrained_on": "slides"}}}}


def sections(model: type[BaseModel], path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Paths of all nested sections of a model, itself first."""
    found = [path]
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            found += sections(field.annotation, (*path, name))
    return found


def at(path: tuple[str, ...], value) -> dict:
    for key in reversed(path):
        value = {key: value}
    return value


def refuse(raw: dict) -> str:
    """The one sentence with which a configuration is refused."""
    with pytest.raises(UserError) as caught:
        load_config(raw)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("configuration: ")
    assert message.endswith("; see config/README.md")
    return message


SETS = {"embed": {"prototypes": ["mean"]}}


@pytest.mark.parametrize("path", sections(Config), ids=lambda path: ".".join(path) or "top")
def test_a_section_without_a_key_is_read_as_one_that_is_left_out(path):
    assert load_config(at(path, None) if path else {}) == Config()


@pytest.mark.parametrize("path", [("pretrain", "runs"), ("benchmark", "tasks"), ("benchmark", "heads")])
def test_a_table_of_names_without_a_name_is_read_as_one_that_is_left_out(path):
    assert load_config(at(path, None)) == Config()


def test_a_section_without_a_key_in_a_run_keeps_the_defaults_of_the_runs():
    config = load_config({"pretrain": {"defaults": {"loss": {"self_weight": 0.5}}, "runs": {"a": {"loss": None}}}})
    assert config.pretrain.run("a") == config.pretrain.defaults


def test_numbers_name_classes():
    task = {"kind": "ordinal", "label": "grade", "classes": [1, 2.5, "x"]}
    assert load_config({"benchmark": {"tasks": {"t": task}}}).benchmark.tasks["t"].classes == ["1", "2.5", "x"]
    assert "put the name in quotes" in refuse({"benchmark": {"tasks": {"t": task | {"classes": [True, False]}}}})


def defaults(**over) -> dict:
    return {"pretrain": {"defaults": over}}


def test_defaults_are_valid_and_the_papers():
    config = load_config({})
    run = config.pretrain.run("slpd")
    assert (run.model.dim, run.model.depth, run.model.heads) == (192, 6, 6)
    assert (run.head.hidden, run.head.bottleneck, run.head.out_dim) == (2048, 256, 65536)
    assert (run.crops.global_size, run.crops.local_size, run.crops.local_count) == (14, 6, 8)
    assert (run.loss.teacher_temp, run.loss.student_temp, run.loss.center_momentum) == (0.04, 0.1, 0.9)
    assert (run.warmup_epochs, run.rounds * run.epochs_per_round, run.schedule_epochs) == (21, 79, 100)
    assert (run.prototypes.count, run.prototypes.min_regions, run.neighbours.count) == (4, 32, 1)
    assert not config.pretrain.run("dino").uses_prototypes
    assert run.uses_prototypes


def test_defaults_survive_json():
    config = load_config({})
    assert load_config(json.loads(config.model_dump_json())) == config


@pytest.mark.parametrize("path", sections(Config), ids=lambda path: ".".join(path) or "top")
def test_unknown_key_is_named_at_every_depth(path):
    key = ".".join([*path, "nonsense"])
    assert refuse(at((*path, "nonsense"), 1)) == f"configuration: unknown key {key}; see config/README.md"


def test_unknown_key_inside_a_run_and_a_task():
    runs = {"slpd": {"loss": {"nonsense": 1}}}
    assert "run slpd: unknown key loss.nonsense" in refuse({"pretrain": {"runs": runs}})
    task = {"kind": "classification", "label": "x", "nonsense": 1}
    assert "unknown key benchmark.tasks.t.nonsense" in refuse({"benchmark": {"tasks": {"t": task}}})


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (
            {"embed": {"prototypes": ["mean", "titen"]}},
            "embed.prototypes: titen is none of the representations; name some of mean, colour, slpd, dino",
        ),
        (
            {"embed": {"patches": True, "prototypes": ["patches"]}},
            "embed.prototypes: patches has no vectors of regions; name some of",
        ),
        (
            {"pretrain": {"runs": {"dino": {"seeds": 2}}}, "embed": {"prototypes": ["dino-seed1"]}},
            "embed.prototypes: dino-seed1 is none of the representations",
        ),
        ({"embed": {"prototypes": ["mean", "mean"]}}, "mean is named twice; name it once"),
        (
            {**SETS, "pretrain": {"runs": {"mean-prototypes": {}}}},
            "mean-prototypes is the name of the prototypes of mean; choose another",
        ),
        (
            {"benchmark": {"set_heads": {"classification": ["knn"]}}},
            "benchmark.set_heads.classification: knn is to be fitted on sets of prototypes, and there are none; set em",
        ),
        ({**SETS, "benchmark": {"set_heads": {"survival": ["matching_knn"]}}}, "matching_knn is not made for survival"),
        (defaults(prototypes={"count": 8, "min_regions": 7}), "min_regions (7) must be at least count (8)"),
        (
            defaults(seeds=[1, 2, 1]),
            "pretrain.defaults: seeds [1, 2, 1] names a seed twice, which would be one training",
        ),
        (
            defaults(seed=0, seeds=[1, 2]),
            "pretrain.defaults: seed is 0 and seeds is [1, 2], a list of all seeds that begins with another; drop seed",
        ),
        (
            {"pretrain": {"defaults": {"seeds": [1, 2]}, "runs": {"slpd": {"seed": 3}}}},
            "run slpd: seed is 3 and seeds is [1, 2], a list of all seeds that begins with another; drop seed",
        ),
        (defaults(rounds=80), "schedule_epochs (100) must cover warmup_epochs + rounds * epochs_per_round (101)"),
        (defaults(model={"dim": 100}), "model.dim (100) must be a multiple of model.heads (6)"),
        (defaults(crops={"local_size": 15}), "crops.local_size must not exceed crops.global_size"),
        (
            defaults(loss={"self_weight": 0, "intra_weight": 0, "inter_weight": 0}),
            "loss: at least one weight must be above 0",
        ),
        (
            defaults(prototypes={"level": "global"}, loss={"self_weight": 0, "intra_weight": 0}),
            "prototypes.level global has no L_inter",
        ),
        (
            defaults(optimiser={"lr_warmup_epochs": 101}),
            "optimiser.lr_warmup_epochs (101) must not exceed schedule_epochs (100)",
        ),
        (
            defaults(loss={"student_temp": 0.01}),
            "loss.student_temp is 0.01, where a number of at least 0.02",
        ),
        (defaults(optimiser={"lr": float("inf")}), "optimiser.lr is Infinity, where a finite number is expected"),
        ({"pretrain": {"runs": {"a": {"preset": "x"}}}}, "run a: preset: x is none of corrected, official"),
        ({"pretrain": {"runs": {"a": {"rounds": 80}}}}, "run a: schedule_epochs (100) must cover"),
        (
            {"pretrain": {"runs": {"a": {"optimiser": {"lr": 0}}}}},
            "run a: optimiser.lr is 0, where a number above 0 is expected",
        ),
        ({"pretrain": {"runs": {"mean": {}}}}, "runs: mean is the name of a baseline; choose another"),
        ({"pretrain": {"runs": {"std": {}}}}, "runs: std is the name of a baseline; choose another"),
        ({"pretrain": {"runs": {"patches": {}}}}, "runs: patches is the name of the bags of patches; choose another"),
        ({"pretrain": {"runs": {"slpd-prototypes": {}}}}, "slpd-prototypes is the name of the prototypes of slpd"),
        (
            {"pretrain": {"runs": {"titan": {}}}, **tables("titan")},
            "runs: titan is the name of a table of embed.tables",
        ),
        (tables("max"), "embed.tables: max is the name of a baseline; choose another"),
        ({"embed": {"tables": {"titan": {"file": "a.csv"}}}}, "embed.tables.titan.pretrained_on is missing; add it"),
        (
            {"embed": {"prototypes": True}, **defaults(prototypes={"level": "global"})},
            "embed.prototypes: no pretraining run has prototypes of slides; set it to false",
        ),
        (
            {"benchmark": {"heads": {"ordinal": ["knn", "matching_knn"]}}},
            "benchmark.heads.ordinal: matching_knn compares sets of prototypes, and there are none; set embed.",
        ),
        ({"pretrain": {"runs": {"a b": {}}}}, "'a b' is a name under pretrain.runs, where a name of letters"),
        ({"regions": {"grid": 8}}, "pretrain run slpd: crops.global_size (14) exceeds regions.grid (8)"),
        ({"benchmark": {"heads": {"ordinal": ["logistic"] * 2}}}, "benchmark.heads.ordinal: logistic is named twice"),
        ({"embed": {"baselines": ["mean", "mean"]}}, "embed.baselines: mean is named twice; name it once"),
        ({"export": {"formats": ["clam", "clam"]}}, "export.formats: clam is named twice; name it once"),
        ({"benchmark": {"compare": [["slpd", "x"]]}}, "benchmark.compare: x is none of mean, colour, slpd, dino"),
        ({"benchmark": {"compare": [["slpd", "slpd"]]}}, "benchmark.compare: slpd is compared with itself"),
        (
            {"benchmark": {"primary_heads": {"survival": "knn"}}},
            "benchmark: primary_heads.survival: knn is none of heads.survival",
        ),
        (
            {"benchmark": {"tasks": {"t": {"kind": "ordinal"}}}},
            "benchmark.tasks.t: a task of kind ordinal needs the key label",
        ),
        (
            {"benchmark": {"tasks": {"t": {"kind": "survival"}}}},
            "benchmark.tasks.t: a task of kind survival needs the key time and event",
        ),
        (
            {"benchmark": {"tasks": {"t": {"kind": "survival", "time": "days"}}}},
            "benchmark.tasks.t: a task of kind survival needs the key event",
        ),
        (
            {"benchmark": {"tasks": {"t": {"kind": "survival", "time": "days", "event": "dead", "label": "subtype"}}}},
            "benchmark.tasks.t: label is no key of a task of kind survival, whose own are time, event, censored; drop",
        ),
        (
            {"benchmark": {"tasks": {"t": {"kind": "regression", "label": "age", "classes": ["a", "b"]}}}},
            "benchmark.tasks.t: classes is no key of a task of kind regression, whose own are label; drop classes",
        ),
        (
            {"benchmark": {"tasks": {"t": {"kind": "multilabel", "labels": ["a", "b"], "event": "dead"}}}},
            "benchmark.tasks.t-a: event is no key of a task of kind classification, whose own are label, classes",
        ),
        (
            {"benchmark": {"tasks": {"t": {"kind": "regression", "label": "age", "other_classes": "leave_out"}}}},
            "benchmark.tasks.t: other_classes is no key of a task of kind regression",
        ),
        ({"cohort": {"name": "../up"}}, "cohort.name is "),
        ({"regions": {"min_tissue_fraction": 1.5}}, "regions.min_tissue_fraction is "),
        ({"tissue": {"mpp": 0}}, "tissue.mpp is "),
        ({"features": {"weights_sha256": "abc"}}, "features.weights_sha256 is "),
        ({"tissue": {"method": "magic"}}, "tissue.method: "),
    ],
)
def test_what_is_refused_and_why(raw, message):
    assert message in refuse(raw)


@pytest.mark.parametrize(
    "task",
    [
        {"kind": "survival", "time": "days", "censored": "alive", "label": None, "other_classes": "refuse"},
        {"kind": "ordinal", "label": "grade", "classes": ["1", "2"], "other_classes": "leave_out", "time": None},
    ],
)
def test_keys_of_other_kinds_that_are_empty_or_defaults_are_accepted(task):
    assert load_config({"benchmark": {"tasks": {"t": task}}}).benchmark.tasks["t"].kind == task["kind"]


def test_merge_is_deep_and_changes_neither():
    base, over = {"a": {"b": 1, "c": {"d": 2}}, "e": [1, 2]}, {"a": {"c": {"d": 3, "x": 4}}, "e": [5], "f": {"g": 6}}
    kept = copy.deepcopy((base, over))
    assert merge(base, over) == {"a": {"b": 1, "c": {"d": 3, "x": 4}}, "e": [5], "f": {"g": 6}}
    assert (base, over) == kept
    assert merge({"a": {"b": 1}}, {"a": None}) == {"a": None}
    assert merge({"a": 1}, {"a": {"b": 2}}) == {"a": {"b": 2}}


def test_free_fields_do_not_decide_a_rerun():
    assert result_settings(Features(batch_size=7)) == result_settings(Features())
    assert result_settings(Cohort(max_failed_fraction=0.9)) == result_settings(Cohort())
    assert result_settings(Features(shards=5)) != result_settings(Features())
    free = {
        "pretrain": {"micro_batch": 3, "defaults": {"compile": True, "deterministic": True}},
        "slides": {"keep_fetched": False},
    }
    assert result_settings(load_config(free)) == result_settings(load_config({}))  # nested ones, too
    assert "batch_size" not in result_settings(Features())
    assert set(result_settings(Features())) == set(Features.model_fields) - {"batch_size"}


@pytest.mark.parametrize("path", sections(Config), ids=lambda path: ".".join(path) or "top")
def test_every_field_of_a_section_is_described(path):
    model: type[BaseModel] = Config
    for key in path:
        model = model.model_fields[key].annotation
    for name, field in model.model_fields.items():
        nested = isinstance(field.annotation, type) and issubclass(field.annotation, Section)
        assert nested or field.description, name


@pytest.mark.parametrize(
    ("features", "folder"),
    [
        ({}, "hipt_vits16"),
        ({"model": "uni"}, "uni"),
        ({"model": "hf-hub:owner/some-model"}, "hf_hub_owner_some_model"),
        ({"model": "uni", "encoder": "mine"}, "mine"),
    ],
)
def test_features_lie_under_the_name_of_their_own_model(features, folder):
    assert load_config({"features": features}).features.encoder == folder


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({"tissue": {"method": "magic"}}, "tissue.method: method: magic is none of clam, optical_density, saturation"),
        (
            {"benchmark": {"heads": {"classification": ["svn"]}}},
            "benchmark.heads: head svn is unknown, and cannot serve classification tasks; use one of knn, match",
        ),
        (
            {"benchmark": {"heads": {"survival": ["logistic"]}}},
            "benchmark.heads: head logistic is not made for survival tasks; use one of cox",
        ),
        ({"benchmark": {"heads": {"surival": ["cox"]}}}, "surival is no kind of task; write one of classification"),
        ({"benchmark": {"tasks": {"t": {"kind": "x", "label": "y"}}}}, "benchmark.tasks.t.kind: x is no kind of task"),
        (
            {"benchmark": {"heads": {"ordinal": []}, "tasks": {"t": {"kind": "ordinal", "label": "y"}}}},
            "benchmark: heads.ordinal names none, and t is such a task",
        ),
    ],
)
def test_names_of_methods_heads_and_tasks_are_checked_before_anything_runs(raw, words):
    with pytest.raises(UserError, match=re.escape(words)):
        load_config(raw)


def test_heads_of_a_kind_replace_the_defaults_of_that_kind_alone():
    heads = load_config({"benchmark": {"heads": {"classification": ["knn"]}}}).benchmark.heads
    assert heads == {kind: default_heads(kind) for kind in KINDS} | {"classification": ["knn"]}


def test_representations_are_what_is_asked_for():
    embed = {"baselines": ["mean", "std"], "patches": True, "prototypes": True, **tables("titan")["embed"]}
    config = load_config({"embed": embed, "pretrain": {"runs": {"global": {"prototypes": {"level": "global"}}}}})
    runs = ["slpd", "dino", "global"]
    assert config.representations == ["mean", "std", "patches", "titan", *runs, "slpd-prototypes"]
    dropped = {"embed": {"tables": {"titan": None}}}
    assert load_config(dropped).representations == ["mean", "colour", "slpd", "dino"]


def test_a_cohort_has_no_tasks_until_it_names_some():
    assert load_config({}).benchmark.tasks == {}
    assert load_config({"benchmark": {"tasks": {"subtype": None}}}).benchmark.tasks == {}
