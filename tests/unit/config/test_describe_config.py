"""config/README.md, config/config.yaml and the presets agree with the models of the configuration."""

import re
from pathlib import Path

import pytest
import yaml

from workflow_scripts.config import (
    Benchmark,
    Config,
    Model,
    PretrainRun,
    Prototypes,
    Regions,
    Slides,
    Tissue,
    load_config,
    merge,
)
from workflow_scripts.config.reruns import config_keys
from workflow_scripts.config.stages import BY_CONFIG, BY_RUN, BY_TASK, SECTIONS
from workflow_scripts.core.errors import UserError
from workflow_scripts.describe_config import main, replace_tables

ROOT = Path(__file__).resolve().parents[3]
DEMO = ROOT / "config" / "config.yaml"
PRESETS = sorted((ROOT / "config" / "presets").glob("*.yaml"))

BY_FOLDS = "choose_slides and pretraining of runs that are trained by folds"


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


def test_command_writes_the_schema_beside_the_file(tmp_path):
    (tmp_path / "README.md").write_text((ROOT / "config" / "README.md").read_text())
    main(["--file", str(tmp_path / "README.md")])
    assert (tmp_path / "config.schema.json").read_text() == (ROOT / "config" / "config.schema.json").read_text()


def test_command_tells_keys_by_a_part_of_their_names(capsys):
    main(["regions.g"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "regions.grid: integer ≥ 2, ≤ 64, default 16" and len(lines) == 3
    assert "Patches along each side" in lines[1] and "tile_regions" in lines[2]
    main([])
    told = {line.partition(":")[0] for line in capsys.readouterr().out.splitlines() if not line.startswith(" ")}
    assert told == {key.name for key in config_keys()}
    with pytest.raises(UserError, match="no key of the configuration has girdd"):
        main(["girdd"])


def test_config_yaml_names_every_key():
    named = set(leaves(read(DEMO)))
    for key in config_keys():
        if key.name.endswith("_weight") and key.default in ("0", "0.0"):  # a term of the loss that the demo leaves out
            continue
        parents = key.name.split(".<name>")[0]
        assert any(name == parents or name.startswith(f"{parents}.") for name in named), key.name


def test_config_yaml_comments_every_line_that_sets_a_value():
    bare = [line for line in DEMO.read_text(encoding="utf-8").splitlines() if line.strip() and "#" not in line]
    assert [line for line in bare if not re.fullmatch(r"\s*\w+:", line)] == []


@pytest.mark.parametrize("path", [DEMO, *PRESETS], ids=lambda path: path.stem)
def test_config_files_are_valid_alone(path):
    load_config(read(path))


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_presets_name_only_what_differs_from_the_defaults(path):
    defaults, written = leaves(Config().model_dump(mode="json")), leaves(read(path))
    open_to_the_user = {"features.weights_sha256"}
    same = {key for key, value in written.items() if defaults.get(key, ...) == value and ".tasks." not in key}
    assert same == open_to_the_user


@pytest.mark.parametrize(
    ("name", "count", "min_regions"), [("tcga_nsclc", 4, 32), ("tcga_brca", 2, 16)], ids=["nsclc", "brca"]
)
def test_presets_have_the_published_setting(name, count, min_regions):
    config = load_config(read(ROOT / "config" / "presets" / f"{name}.yaml"))
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


def test_runs_are_added_to_those_that_every_cohort_gets():
    assert list(load_config({"pretrain": {"runs": {"eight": {"seed": 8}}}}).pretrain.runs) == ["slpd", "dino", "eight"]
    assert list(load_config({"pretrain": {"runs": {"eight": {}, "dino": None}}}).pretrain.runs) == ["slpd", "eight"]


def test_the_run_without_prototypes_has_l_self_whatever_the_defaults_weigh():
    config = load_config({"pretrain": {"defaults": {"loss": {"self_weight": 0}}}})
    assert [config.pretrain.run(name).loss.self_weight for name in ("slpd", "dino")] == [0, 1]


def test_dropping_every_run_is_refused():
    with pytest.raises(UserError, match=r"pretrain\.runs"):
        load_config({"pretrain": {"runs": {"slpd": None, "dino": None}}})


def rules_by_name() -> dict[str, str]:
    """Text of each rule of rules/*.smk."""
    found = {}
    for path in (ROOT / "rules").glob("*.smk"):
        parts = re.split(r"^(?:rule|checkpoint) (\w+):", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        found |= dict(zip(parts[1::2], parts[2::2], strict=True))
    return found


def test_rules_that_are_named_exist():
    named = {word for key in config_keys() for word in re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", key.reruns)}
    assert named and named <= set(rules_by_name())


def test_every_rule_that_is_given_the_manifest_is_named_by_its_key():
    given = {rule for rule, text in rules_by_name().items() if re.search(r"^ +manifest=MANIFEST,$", text, re.MULTILINE)}
    reruns = next(key.reruns for key in config_keys() if key.name == "cohort.manifest")
    assert "choose_slides" in given and given == set(re.findall(r"\b[a-z]+_[a-z]+\b", reruns))


def test_every_rule_gets_its_settings_from_the_stages():
    """What is computed of reruns holds for the rules only if these take their settings from the same tables."""
    named = {
        (rule, asked)
        for rule, text in rules_by_name().items()
        for asked in re.findall(r'settings\("(\w+)"', text)
    }  # fmt: skip
    assert {asked for _, asked in named} | {"warm_up", "cluster_regions"} == {*SECTIONS, *BY_CONFIG, *BY_TASK, *BY_RUN}
    assert all(rule == asked for rule, asked in named), named
    for rule, sections in SECTIONS.items():
        others = re.findall(rf'settings\("{rule}", "(\w+)"\)', rules_by_name()[rule])
        assert others == list(sections[1:]), rule


def test_free_keys_rerun_nothing_and_no_other_key_does_so():
    keys = config_keys()
    free = {key.name for key in keys if key.free}
    assert {"cohort.max_failed_fraction", "pretrain.micro_batch", "features.batch_size"} <= free
    for key in keys:
        assert (key.reruns == "nothing") == key.free, key.name
        assert key.reruns, f"{key.name} is given to no rule"


@pytest.mark.parametrize(
    ("key", "rules"),
    [
        ("tissue.mpp", "segment_tissue"),
        ("regions.grid", "tile_regions, extract_features, export_features; import_features where source is set"),
        ("features.batch_size", "nothing"),
        (
            "features.shards",
            "extract_features, which encodes no slide again, and all after it; pretraining takes its last results back",
        ),
        ("features.encoder", "extract_features and all after it; import_features where source is set"),
        ("pretrain.defaults.loss.intra_weight", "distill_round"),
        ("pretrain.defaults.loss.teacher_temp", "warm_up, distill_round"),
        ("pretrain.defaults.prototypes.count", "cluster_regions; embed_prototypes of sets that no run clusters"),
        ("pretrain.defaults.neighbours.matching", "assign_neighbours"),
        ("benchmark.seed", f"split_patients, fit_head, measure_retrieval, score_textures; {BY_FOLDS}"),
        ("benchmark.folds", f"split_patients; {BY_FOLDS}"),
    ],
)
def test_reruns_of_a_key(key, rules):
    assert {one.name: one.reruns for one in config_keys()}[key] == rules
