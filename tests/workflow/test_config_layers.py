"""Whose defaults a user gets: the demo's own only without `--configfile`, else those in code, which are the paper's."""

import json
import re
import shlex
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from tests.workflow.tiny import CONFIG, snakemake, write_config
from workflow_scripts.config import Config, PretrainRun, load_config, merge, stages

MINE = {"cohort": {"name": "mine"}, "features": {"model": "efficientnet_lite0"}}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with four slides' files, and a config/config.yaml as the clone has one for the demo."""
    rows = [f"{name},{name}.svs,p{name},{label}" for name, label in zip("abcd", "xyxy", strict=True)]
    (tmp_path / "slides.csv").write_text("\n".join(["slide_id,path,patient_id,subtype", *rows, ""]))
    for name in "abcd":
        (tmp_path / f"{name}.svs").write_bytes(b"")
    write_config(tmp_path, CONFIG)
    return tmp_path


def warm_up_settings(project: Path, *args: str) -> dict:
    """Settings that a dry run hands to the warm-up."""
    result = snakemake(project, "-n", "-p", "pretrain", *args)
    assert result.returncode == 0, result.stdout[-3000:]
    command = re.search(r"workflow_scripts\.warm_up --config '(.*?)' --features", result.stdout)
    assert command, result.stdout[-3000:]
    return json.loads(command[1])


def write(path: Path, config: dict) -> str:
    path.write_text(yaml.safe_dump(config))
    return str(path)


def test_without_a_configfile_the_folders_own_config_is_read(project: Path) -> None:
    assert warm_up_settings(project)["model"]["dim"] == CONFIG["pretrain"]["defaults"]["model"]["dim"]


def test_a_configfile_starts_from_the_papers_defaults(project: Path) -> None:
    mine = write(project / "mine.yaml", MINE)
    assert warm_up_settings(project, "--configfile", mine) == PretrainRun().warm_up_settings()


def given_settings(output: str) -> dict[tuple[str, str], set[str]]:
    """Settings that a dry run prints, of all jobs of a rule, by the rule and the option that hands them over."""
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for line in re.findall(r"python -m workflow_scripts\.(.*)", output):
        rule, *words = shlex.split(line.removeprefix("for_slides "))
        for option, value in pairwise(words):
            if option == "--config" or option.endswith("-config"):
                found[rule, option].add(value)
    return dict(found)


def expected_settings(config: Config) -> dict[tuple[str, str], set[str]]:
    """The same, as the tables of `config.stages` give them for a cohort whose slides are not the demo's."""
    runs = [config.pretrain.run(name) for name in config.pretrain.runs]
    found: dict[tuple[str, str], set[str]] = {}
    for rule, (first, *others) in stages.SECTIONS.items():
        if rule not in ("make_demo_slide", "import_features"):
            options = {"--config": first} | {f"--{name}-config": name for name in others}
            for option, section in options.items():
                found[rule, option] = {stages.as_json(stages.section_settings(config, section))}
    for rule, of_run in stages.BY_RUN.items():
        asked = [run for run in runs if run.has_slide_sets] if rule == "export_prototypes" else runs
        found[rule, "--config"] = {stages.as_json(of_run(run)) for run in asked}
    found["cluster_regions", "--config"] = {
        stages.as_json(stages.cluster_settings(run, number))
        for run in runs
        if run.uses_prototypes
        for number in range(1, run.rounds + 1)
    }
    for rule, of_task in stages.BY_TASK.items():
        if rule == "choose_slides":  # no run has train_only
            continue
        found[rule, "--config"] = {stages.as_json(of_task(config, task)) for task in config.benchmark.tasks}
    found["fit_head", "--config"] = {
        stages.as_json(stages.cell_settings(config, name, cell, "mean"))
        for name, task in config.benchmark.tasks.items()
        for cell in stages.cells(config, task.kind)
    }
    found["measure_retrieval", "--config"] = {
        stages.as_json(stages.retrieval_settings(config, name)) for name in config.representations
    }
    for rule, of_config in stages.BY_CONFIG.items():
        if rule not in ("score_textures", "export_results"):  # no maps of true classes, and not asked for here
            found[rule, "--config"] = {stages.as_json(of_config(config))}
    return found


def test_every_rule_gets_the_papers_values_for_what_a_configfile_does_not_name(project: Path) -> None:
    """The folder's config.yaml names other values of nearly all; none of them reaches a command."""
    tasks = {"subtype": {"kind": "classification", "label": "subtype"}}
    named = MINE | {"benchmark": {"folds": 2, "tasks": tasks}}
    named["cohort"] = {"name": "mine", "max_failed_fraction": 0.004}
    write_config(project, merge(CONFIG, {"slides": {"mpp_max": 1.5}, "export": {"formats": ["clam"]}}))
    targets = ("report", "embed", "export", "qupath", "figures")
    result = snakemake(project, "-n", "-p", *targets, "--configfile", write(project / "mine.yaml", named))
    assert result.returncode == 0, result.stdout[-3000:]
    assert given_settings(result.stdout) == expected_settings(load_config(named))
    assert "--max-failed-fraction 0.004 " in result.stdout


def test_a_lock_is_taken_off_while_the_slides_are_away(project: Path) -> None:
    for name in "abcd":
        (project / f"{name}.svs").unlink()
    mine = write(project / "mine.yaml", MINE)
    refused = snakemake(project, "-n", "--configfile", mine)
    assert refused.returncode == 1 and "none of the 4 slide files" in refused.stdout
    result = snakemake(project, "--unlock", "--configfile", mine)
    assert result.returncode == 0, result.stdout[-3000:]


def test_a_config_without_an_encoder_is_told_where_the_papers_weights_are(project: Path) -> None:
    mine = write(project / "mine.yaml", {"cohort": {"name": "mine"}})
    result = snakemake(project, "-n", "--configfile", mine)
    assert result.returncode == 1 and "Traceback" not in result.stdout
    assert "hipt_vits16_256 comes without weights; set features.weights to vit256_small_dino.pth" in result.stdout


def test_configfiles_add_up_from_left_to_right(project: Path) -> None:
    first = write(project / "first.yaml", MINE | {"pretrain": {"defaults": {"warmup_epochs": 5}}})
    second = write(project / "second.yaml", {"pretrain": {"defaults": {"warmup_epochs": 7}}})
    assert warm_up_settings(project, "--configfile", first, second)["warmup_epochs"] == 7


def test_edits_on_the_command_line_come_on_top_of_what_was_read(project: Path) -> None:
    """Over the folder's config where no file is named, over the named file alone where one is."""
    edit = "pretrain={defaults: {warmup_epochs: 3}}"
    own = warm_up_settings(project, "--config", edit)
    assert (own["warmup_epochs"], own["model"]["dim"]) == (3, CONFIG["pretrain"]["defaults"]["model"]["dim"])
    mine = write(project / "mine.yaml", MINE)
    over_mine = warm_up_settings(project, "--configfile", mine, "--config", edit)
    assert (over_mine["warmup_epochs"], over_mine["model"]["dim"]) == (3, PretrainRun().model.dim)
