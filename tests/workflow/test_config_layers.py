"""Whose defaults a user gets: the demo's own only without `--configfile`, else those in code, which are the paper's."""

import json
import re
from pathlib import Path

import pytest
import yaml

from tests.workflow.tiny import CONFIG, snakemake, write_config
from workflow_scripts.config.pretrain import PretrainRun

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
