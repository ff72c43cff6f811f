"""The workflow used from other folders: as a module, deployed by snakedeploy, beside another project's package."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.package.conftest import ROOT, SOURCES, copy_sources, run
from tests.workflow.tiny import CONFIG, changed, job_counts, planned, write_config
from workflow_scripts.core.chunks import chunk_count, chunk_of
from workflow_scripts.core.manifest import read_manifest
from workflow_scripts.core.tables import read_table

BIN = Path(sys.executable).parent
MODULE = f"""
configfile: "config/config.yaml"

module slpd:
    snakefile: {str(ROOT / "Snakefile")!r}
    config: config

use rule * from slpd
"""
# Packages that are found before the installed one, or that hide it.
HIDES_OURS = """
import sys

class Hidden:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "workflow_scripts":
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, Hidden)
"""


def snakemake(folder: Path, *args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Snakemake's command in a folder, without any package of ours in its environment; output in `stdout`."""
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(
        [BIN / "snakemake", "--cores", "2", *args],
        cwd=folder,
        env={**kept, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", **environment},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def dry_run(folder: Path, *args: str, **environment: str) -> dict[str, int]:
    result = snakemake(folder, "-n", *args, **environment)
    assert result.returncode == 0, result.stdout[-3000:]
    return job_counts(result.stdout)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A cohort of files that are no slides, which is all that planning needs, and its config."""
    folder = tmp_path / "project"
    (folder / "slides").mkdir(parents=True)
    lines = ["slide_id,path,patient_id,mpp,subtype"]
    for number in range(4):
        (folder / f"slides/s{number}.svs").write_text(f"no slide {number}")
        lines.append(f"s{number},slides/s{number}.svs,p{number},0.5,{('glandular', 'solid')[number % 2]}")
    (folder / "slides.csv").write_text("\n".join(lines) + "\n")
    write_config(folder, CONFIG)
    return folder


def use_module(project: Path, how: str = "", text: str = MODULE) -> Path:
    """Give the project a Snakefile of its own that uses the workflow as a module."""
    (project / "workflow").mkdir()
    (project / "workflow" / "Snakefile").write_text(text.rstrip() + how + "\n")
    return project


def test_as_a_module_it_plans_the_same_jobs(project):
    assert dry_run(use_module(project)) == planned(project)


def test_as_a_module_with_other_names_and_with_features_of_another_tool(project):
    jobs = planned(project)
    use_module(project, " as slpd_*")
    assert dry_run(project) == {"slpd_all": 1} | {f"slpd_{rule}": count for rule, count in jobs.items()}
    (project / "theirs").mkdir()
    for number in range(4):
        (project / f"theirs/s{number}.h5").touch()
    write_config(project, changed(CONFIG, "source", {"kind": "trident", "folder": "theirs"}))
    jobs = dry_run(project, "slpd_features")
    assert jobs["slpd_import_features"] == jobs["slpd_check_slide"] and jobs["slpd_index_features"] == 1
    assert not {"slpd_tile_regions", "slpd_extract_features"} & set(jobs)


def test_as_a_module_its_jobs_run(project):
    result = snakemake(use_module(project, " as slpd_*"), "slpd_cohort")
    assert result.returncode == 0, result.stdout[-3000:]
    rows = [read_table(project / f"results/tiny/check/s{number}.parquet").to_pylist()[0] for number in range(4)]
    assert {row["reason"] for row in rows} == {"unreadable_file"}


def test_another_projects_folder_of_that_name_is_passed_over(project):
    (project / "workflow_scripts").mkdir()
    (project / "workflow_scripts" / "__init__.py").write_text("raise SystemExit('taken for ours')\n")
    result = snakemake(project, "cohort", "--snakefile", str(ROOT / "Snakefile"))
    assert result.returncode == 0, result.stdout[-3000:]
    assert (project / "results/tiny/check/s0.parquet").is_file()


def test_another_package_that_was_imported_first_is_told(project):
    other = project / "other" / "workflow_scripts"
    other.mkdir(parents=True)
    use_module(project, text="import sys\nsys.path.insert(0, 'other')\nimport workflow_scripts\n" + MODULE)
    for found in ("a folder without __init__.py", str(other / "__init__.py")):
        result = snakemake(project, "-n")
        assert result.returncode == 1 and f"workflow_scripts was imported from {found}" in result.stdout
        (other / "__init__.py").write_text("__version__ = '0.0'\n")


@pytest.fixture(scope="module")
def hosted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The repository as a host would give it: environment in which git finds github.com on this disk."""
    folder = tmp_path_factory.mktemp("host") / "github"
    copy_sources(folder / "owner" / "slpd-workflow", *SOURCES, "Snakefile", "rules", "config", "profiles")
    git = ["git", "-C", folder / "owner" / "slpd-workflow", "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "all"], ["tag", "v1"]):
        run(*git, *command)
    return {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.file://{folder}/.insteadOf",
        "GIT_CONFIG_VALUE_0": "https://github.com/",
        "GITHUB_TOKEN": "",
        "XDG_CACHE_HOME": str(folder.parent / "cache"),
    }


@pytest.fixture
def deployed(hosted: dict[str, str], tmp_path: Path) -> Path:
    """What `snakedeploy deploy-workflow` makes of it."""
    source = hosted["GIT_CONFIG_KEY_0"].removeprefix("url.").removesuffix("/.insteadOf")
    run(BIN / "snakedeploy", "deploy-workflow", f"{source}/owner/slpd-workflow", tmp_path / "deployed", "--tag", "v1")
    return tmp_path / "deployed"


def test_deployed_it_plans_the_demo_and_runs_jobs_of_the_installed_package(deployed, hosted, installed):
    environment = hosted | {"PYTHONPATH": str(installed)}
    assert 'github("owner/slpd-workflow", path="Snakefile", tag="v1")' in (deployed / "workflow/Snakefile").read_text()
    assert dry_run(deployed, **environment) == planned(deployed)
    config = yaml.safe_load((deployed / "config" / "config.yaml").read_text())
    slides = read_manifest(deployed / config["cohort"]["manifest"])
    chunk = chunk_of("demo_01", chunk_count(len(slides), config["features"]["shards"]))
    file = f"results/{config['cohort']['name']}/check/chunks/{chunk}.parquet"
    result = snakemake(deployed, file, **environment)
    assert result.returncode == 0, result.stdout[-3000:]
    assert set(read_table(deployed / file)["status"].to_pylist()) == {"ok"}


def test_deployed_without_the_package_or_beside_another_it_says_what_to_do(deployed, hosted, installed, tmp_path):
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / "sitecustomize.py").write_text(HIDES_OURS)
    result = snakemake(deployed, "-n", **hosted, PYTHONPATH=str(tmp_path / "hidden"))
    assert result.returncode == 1 and "install slpd-workflow" in result.stdout
    (deployed / "workflow_scripts").mkdir()
    result = snakemake(deployed, "-n", **hosted, PYTHONPATH=str(installed))
    assert result.returncode == 1 and "would be taken for this workflow's package" in result.stdout
