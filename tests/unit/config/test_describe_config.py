"""config/README.md, config/config.yaml and the presets agree with the models of the configuration."""

import re
import warnings
from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config

from workflow_scripts.config import (
    Benchmark,
    Cohort,
    Features,
    Model,
    PretrainRun,
    Prototypes,
    Regions,
    Slides,
    Tissue,
    load_config,
    merge,
)
from workflow_scripts.config.reruns import RERUNS, config_keys
from workflow_scripts.core.errors import UserError
from workflow_scripts.describe_config import main, replace_tables

ROOT = Path(__file__).resolve().parents[3]
DEMO = ROOT / "config" / "config.yaml"
PRESETS = sorted((ROOT / "config" / "presets").glob("*.yaml"))


def read(path: Path) -> dict:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def leaves(values: dict, start: str = "") -> dict:
    found = {}
    for name, value in values.items():
        nested = isinstance(value, dict) and value
        found |= leaves(value, f"{start}{name}.") if nested else {f"{start}{name}": value}
    return found


def test_readme_tables_are_up_to_date():
    text = (ROOT / "config" / "README.md").read_text(encoding="utf-8")
    assert replace_tables(text) == text, "run: python -m workflow_scripts.describe_config --file config/README.md"


def test_command_mends_a_stale_file_and_refuses_one_without_markers(tmp_path):
    readme = ROOT / "config" / "README.md"
    stale = tmp_path / "README.md"
    stale.write_text(re.sub(r"`regions.grid` \| [^|]*", "`regions.grid` | text ", readme.read_text()))
    assert stale.read_text() != readme.read_text()
    main(["--file", str(stale)])
    assert stale.read_text() == readme.read_text()
    stale.write_text("no markers")
    with pytest.raises(UserError, match="no part between"):
        main(["--file", str(stale)])


def test_config_yaml_names_every_key():
    named = set(leaves(read(DEMO)))
    for key in config_keys():
        parents = key.name.split(".<name>")[0]
        assert any(name == parents or name.startswith(f"{parents}.") for name in named), key.name


def test_config_yaml_comments_every_line_that_sets_a_value():
    bare = [line for line in DEMO.read_text(encoding="utf-8").splitlines() if line.strip() and "#" not in line]
    assert [line for line in bare if not re.fullmatch(r"\s*\w+:", line)] == []


@pytest.mark.parametrize("path", [DEMO, *PRESETS], ids=lambda path: path.stem)
def test_config_files_are_valid_alone(path):
    load_config(read(path))


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_presets_replace_every_value_of_the_demo(path):
    preset = leaves(read(path))
    kept = {name for name in leaves(read(DEMO)) if name not in preset and not name.startswith("demo.")}
    dropped = ("benchmark.tasks.grade.", "benchmark.tasks.survival.")
    assert {name for name in kept if not name.startswith(dropped)} == set()


@pytest.mark.parametrize(
    ("name", "count", "min_regions"), [("tcga_nsclc", 4, 32), ("tcga_brca", 2, 16)], ids=["nsclc", "brca"]
)
def test_presets_over_the_demo_have_the_published_setting(name, count, min_regions):
    layered = read(DEMO)
    update_config(layered, read(ROOT / "config" / "presets" / f"{name}.yaml"))  # as --configfile does
    config = load_config(layered)
    # as many epochs as published but one, in longer rounds: docs/performance.md says why
    rounds = {"rounds": 26, "epochs_per_round": 3}
    prototypes = {"prototypes": Prototypes(count=count, min_regions=min_regions)}
    published = PretrainRun().model_copy(update=prototypes | rounds)
    assert config.pretrain.defaults == published
    assert config.regions == Regions() and config.tissue == Tissue() and config.slides == Slides()
    assert config.pretrain.run("dino").loss.intra_weight == 0
    assert set(config.pretrain.runs) == {"slpd", "dino"}
    assert config.features.model == "hipt_vits16_256" and config.features.weights
    assert set(config.benchmark.tasks) == {"subtype"}
    assert config.benchmark.heads == Benchmark().heads
    assert config.benchmark.region_truth is None
    assert config.cohort.name == name and "demo" not in config.cohort.manifest


def test_defaults_are_the_published_ones():
    """Values of the official code's argument parser and README (batch 4 x 128, 100 epochs, `epoch > 20`)."""
    run = PretrainRun()
    model = {"dim": 192, "depth": 6, "heads": 6, "mlp_ratio": 4.0, "drop_path": 0.1}
    assert run.model == Model(**model) and run.head.out_dim == 65536
    assert (run.optimiser.batch_size, run.optimiser.lr, run.optimiser.teacher_momentum) == (512, 5e-4, 0.996)
    assert (run.crops.global_size, run.crops.local_size, run.crops.local_count) == (14, 6, 8)
    assert (run.warmup_epochs, run.rounds, run.epochs_per_round, run.schedule_epochs) == (21, 79, 1, 100)


def test_null_drops_tasks_and_runs_of_the_layer_below():
    below = {
        "pretrain": {"runs": {"slpd": {}, "dino": {"loss": {"intra_weight": 0, "inter_weight": 0}}}},
        "benchmark": {"tasks": {"grade": {"kind": "ordinal", "label": "grade"}, "subtype": None}},
    }
    over = {
        "pretrain": {"runs": {"dino": None}},
        "benchmark": {"tasks": {"grade": None, "subtype": {"kind": "classification", "label": "x"}}},
    }
    config = load_config(merge(below, over))
    assert list(config.pretrain.runs) == ["slpd"]
    assert list(config.benchmark.tasks) == ["subtype"]


def test_dropping_every_run_is_refused():
    with pytest.raises(UserError, match=r"pretrain\.runs"):
        load_config({"pretrain": {"runs": {"slpd": None}}})


def test_rules_that_are_named_exist():
    text = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "rules").glob("*.smk"))
    rules = set(re.findall(r"^(?:rule|checkpoint) (\w+):", text, re.MULTILINE))
    named = {word for value in RERUNS.values() for word in re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", value)}
    assert named and named <= rules


def test_free_keys_rerun_nothing():
    free = {key.name for key in config_keys() if key.reruns == "nothing"}
    slides = {"cohort.max_failed_fraction", "cohort.allow_network", "slides.keep_fetched", "features.batch_size"}
    assert free == slides | {"pretrain.micro_batch"}
    assert Cohort.model_fields["max_failed_fraction"].json_schema_extra == {"free": True}
    assert Features.model_fields["batch_size"].json_schema_extra == {"free": True}


def test_pretraining_keys_rerun_what_the_settings_of_the_rules_say():
    """Change one key at a time and compare the settings that each rule gets."""
    run = PretrainRun()
    settings = {
        "warm_up": lambda one: one.warm_up_settings(),
        "cluster_regions": lambda one: one.cluster_settings(),
        "distill_round": lambda one: one.distill_settings(),
        "assign_neighbours": lambda one: one.neighbours.model_dump(),
    }
    for key in config_keys():
        if not key.name.startswith("pretrain.defaults."):
            continue
        *sections, name = key.name.split(".")[2:]
        owner = getattr(run, sections[0]) if sections else run
        edited = owner.model_copy(update={name: 12345})  # not validated, so that any value will do
        other = run.model_copy(update={sections[0]: edited}) if sections else edited
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a value that is not of the field's type
            changed = [rule for rule, of in settings.items() if of(run) != of(other)]
        # these two change which jobs there are and what they read, not their settings
        expected = [] if name in ("rounds", "recluster_every") else key.reruns.split(", ")
        assert changed == expected, key.name
