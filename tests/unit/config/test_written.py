"""Folders that cannot be written are refused before anything runs, each in one sentence."""

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.unit.config.refused import GOOD, cohort, refusal, with_files
from workflow_scripts.config import load_config, merge
from workflow_scripts.config.refusals import refuse
from workflow_scripts.config.written import STAGE_FOLDERS
from workflow_scripts.core.errors import UserError

ROOT = Path(__file__).resolve().parents[3]
NAMED = {"cohort": {"name": "mine"}}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with five slides' files."""
    monkeypatch.chdir(tmp_path)
    return with_files(tmp_path)


@contextmanager
def another_user() -> Iterator[None]:
    """Permissions count: they do not for root."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("name", ["results", "results/mine", "results/mine/tissue", ".snakemake", ".snakemake/log"])
@pytest.mark.parametrize("kind", ["file", "link"])
def test_what_stands_in_the_place_of_a_folder(name, kind):
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).touch() if kind == "file" else Path(name).symlink_to("/nowhere/at all")
    what = "a file" if kind == "file" else "a link to a place that is not there"
    assert refusal(NAMED, cohort()).startswith(f"{name} is {what}, and the workflow writes into a folder of that name")


@pytest.mark.parametrize("name", ["results", "results/mine", "results/mine/tissue", ".snakemake/metadata"])
def test_permissions(folder, name):
    folder.chmod(0o777)
    (folder / ".snakemake").mkdir(mode=0o777)
    (folder / ".snakemake").chmod(0o777)
    Path(name).mkdir(parents=True)
    for part in (Path(name), *Path(name).parents):
        part.chmod(0o777)
    Path(name).chmod(0o555)
    with another_user():
        message = refusal(NAMED, cohort())
    assert "cannot be written" in message and name in message and "(Permission denied); " in message


def test_a_working_directory_of_somebody_elses(folder):
    folder.chmod(0o755)
    if os.geteuid():
        folder.chmod(0o555)
    with another_user():
        message = refusal(NAMED, cohort())
    assert message.startswith("results/mine cannot be written in this folder (Permission denied); make results a link")


def test_a_disk_that_is_mounted_to_be_read_only(folder):
    (folder / "results").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "ro,size=64k", "tmpfs", str(folder / "results")]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system is not permitted here")
    try:
        message = refusal(NAMED, cohort())
    finally:
        subprocess.run(["umount", str(folder / "results")], check=True)
    assert message.startswith("results/mine cannot be written in results (Read-only file system); make results a link")


def test_the_demos_folder_counts_where_the_demo_is_made(folder):
    (folder / "resources").touch()
    refuse(load_config(merge(GOOD, NAMED)), cohort())
    made = cohort()[0]._replace(slide_id="f", path="resources/demo/demo_01.svs")
    with pytest.raises(UserError, match=r"^resources is a file"):
        refuse(load_config(merge(GOOD, NAMED)), [*cohort(), made])


def test_what_can_be_written_is_left_as_it_was(folder):
    Path("results/mine/tissue").mkdir(parents=True)
    Path("results/linked").symlink_to(folder / "results/mine")
    before = {place: place.stat().st_mtime_ns for place in folder.rglob("*")}
    refuse(load_config(merge(GOOD, NAMED)), cohort())
    refuse(load_config(merge(GOOD, {"cohort": {"name": "linked"}})), cohort())
    assert {place: place.stat().st_mtime_ns for place in folder.rglob("*")} == before


def test_every_folder_that_a_rule_writes_to_is_tried():
    text = "\n".join(file.read_text() for file in [ROOT / "Snakefile", *(ROOT / "rules").glob("*.smk")])
    assert set(re.findall(r"(?:<cohort>|\{COHORT\})/([a-z_]+)/", text)) | {"scratch"} == set(STAGE_FOLDERS)
