"""What the environments hold: the same pins in every file, and all that the package imports."""

import ast
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from tests.package.conftest import ROOT, needed

ENVS = ROOT / "envs"


def lines(file: str) -> list[str]:
    text = (ENVS / file).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith(("#", "-r "))]


def names(file: str) -> set[str]:
    return {Requirement(line).name.lower() for line in lines(file)}


def test_the_conda_environment_is_python_and_the_pins():
    conda = yaml.safe_load((ENVS / "conda.yaml").read_text(encoding="utf-8"))
    *plain, pip = conda["dependencies"]
    assert [one.partition("=")[0] for one in plain] == ["python", "pip"]
    assert pip == {"pip": lines("requirements.txt")}
    assert conda["channels"] == ["conda-forge", "nodefaults"]


def test_conda_and_container_have_one_python_that_the_package_allows():
    conda = yaml.safe_load((ENVS / "conda.yaml").read_text(encoding="utf-8"))
    version = next(one.partition("=")[2] for one in conda["dependencies"] if str(one).startswith("python="))
    assert f"python:{version}-slim" in (ENVS / "Containerfile").read_text(encoding="utf-8")
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert SpecifierSet(re.search(r'requires-python = "(.*)"', project)[1]).contains(version)


def test_rules_name_environments_that_exist():
    named = {
        (path.parent / file).resolve()
        for path in (ROOT / "rules").glob("*.smk")
        for file in re.findall(r'conda:\s+"(.*)"', path.read_text(encoding="utf-8"))
    }
    assert named == {ENVS / "conda.yaml"}


@pytest.mark.parametrize("file", [f"requirements{part}.txt" for part in ("", "-remote", "-anndata", "-dev")])
def test_every_line_is_one_exact_pin(file):
    assert all(re.fullmatch(r"[\w.-]+(\[\w+\])?==[\w.]+", line) for line in lines(file))
    assert len(names(file)) == len(lines(file))


def test_no_package_is_pinned_in_two_of_the_files():
    every = [name for part in ("", "-remote", "-anndata", "-dev") for name in names(f"requirements{part}.txt")]
    assert len(set(every)) == len(every)


def test_all_that_the_package_imports_is_pinned_or_comes_with_what_is():
    owners = packages_distributions()
    pinned = needed(*(name for part in ("", "-remote", "-anndata") for name in names(f"requirements{part}.txt")))
    for path in sorted((ROOT / "workflow_scripts").rglob("*.py")):
        for name in imports(path) - set(sys.stdlib_module_names) - {"workflow_scripts"}:
            assert {owner.lower().replace("_", "-") for owner in owners[name]} & pinned, f"{path} imports {name}"


def imports(path: Path) -> set[str]:
    """Top-level names that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found
