"""The wheel: what is in it, what it asks for, and that it works outside the clone with what it asks for alone."""

import json
import os
import subprocess
import sys
import zipfile
from email.message import Message
from email.parser import Parser
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from packaging.requirements import Requirement

from tests.package.conftest import ROOT, needed
from workflow_scripts import __version__
from workflow_scripts.cli import COMMANDS
from workflow_scripts.slpd.model import RegionEncoder, save_model
from workflow_scripts.slpd.vit import RegionViT

ARCHITECTURE = {"in_dim": 5, "dim": 8, "depth": 2, "heads": 2, "mlp_ratio": 2.0, "positions": 3}
BASE = ("torch", "numpy", "safetensors")

EMBED = """
import sys
import numpy as np
import torch
from workflow_scripts.slpd.model import RegionEncoder

tokens = torch.from_numpy(np.load("tokens.npy"))
np.save("vectors.npy", RegionEncoder.load("model").embed(tokens).numpy())
print(sys.modules["workflow_scripts"].__file__)
"""


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as file:
        return set(file.namelist())


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as file:
        return Parser().parsestr(file.read(f"slpd_workflow-{__version__}.dist-info/METADATA").decode())


def pins(file: str) -> set[str]:
    lines = (ROOT / "envs" / file).read_text(encoding="utf-8").splitlines()
    return {line for line in lines if line and not line.startswith(("#", "-r"))}


@pytest.fixture(scope="module")
def base_only(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder for PYTHONPATH that hides every package that torch, numpy and safetensors do without."""
    allowed = needed(*BASE)
    hidden = sorted(
        module
        for module, owners in packages_distributions().items()
        if not allowed & {owner.lower().replace("_", "-") for owner in owners} and module != "workflow_scripts"
    )
    assert {"pyarrow", "pydantic", "pandas", "snakemake", "scipy", "yaml"} <= set(hidden)
    folder = tmp_path_factory.mktemp("base_only")
    (folder / "sitecustomize.py").write_text(f"""
import sys

class Hidden:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in {hidden!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Hidden)
""")
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    backbone = RegionViT(**ARCHITECTURE)
    for parameter in backbone.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    save_model(tmp_path / "model" / "model.safetensors", backbone, {"architecture": ARCHITECTURE}, "# Card\n")
    return tmp_path / "model"


def outside(folder: Path, paths: list[Path], *command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder outside the clone, with nothing but `paths` beside the environment's packages."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    return subprocess.run([sys.executable, *command], cwd=folder, env=environment, text=True, capture_output=True)


def test_version_is_said_alike_everywhere(wheel):
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert metadata(wheel)["Version"] == __version__ == str(citation["version"])
    assert f'VERSION = "{__version__}"' in (ROOT / "rules" / "package.smk").read_text(encoding="utf-8")


def test_wheel_holds_the_whole_package_and_nothing_else(wheel):
    files = {path for path in (ROOT / "workflow_scripts").rglob("*") if path.is_file() and path.suffix != ".pyc"}
    package = {name for name in names(wheel) if not name.startswith(f"slpd_workflow-{__version__}.dist-info/")}
    assert package == {path.relative_to(ROOT).as_posix() for path in files}
    others = {path.name for path in files if path.suffix != ".py"}
    pages = {"report", "findings", "results", "cohort", "slides", "prototypes", "training", "settings", "atlas"}
    scripts = {"report", "slide_table", "slide_view", "slide_pages", "slide_map", "downloads"}
    pages |= {"explained", "slide"}  # a part of prototypes, and the page of a new slide alone
    assert others == {"report.css", *(f"{name}.html" for name in pages), *(f"{name}.js" for name in scripts)}


def test_licence_and_notice_are_shipped(wheel):
    told = metadata(wheel)
    assert told["License-Expression"] == "Apache-2.0" and told.get_all("License-File") == ["LICENSE", "NOTICE"]
    with zipfile.ZipFile(wheel) as file:
        for name in ("LICENSE", "NOTICE"):
            shipped = file.read(f"slpd_workflow-{__version__}.dist-info/licenses/{name}")
            assert shipped == (ROOT / name).read_bytes() and shipped


def test_a_trained_model_asks_for_three_packages_and_extras_for_the_pins(wheel):
    wants = [Requirement(text) for text in metadata(wheel).get_all("Requires-Dist")]
    base = [one for one in wants if one.marker is None]
    assert {one.name for one in base} == set(BASE)
    for one in base:
        assert one.specifier.contains(distribution(one.name).version, prereleases=True), one
    for extra, file in {"workflow": "requirements.txt", "remote": "requirements-remote.txt"}.items():
        mine = [one for one in wants if one.marker and one.marker.evaluate({"extra": extra})]
        assert {f"{one.name}{one.specifier}" for one in mine} == pins(file)


def test_trained_model_embeds_with_these_three_alone(installed, base_only, model):
    tokens = torch.randn(3, 4, 4, 5, generator=torch.Generator().manual_seed(1))
    np.save(model.parent / "tokens.npy", tokens.numpy())
    result = outside(model.parent, [base_only, installed], "-c", EMBED)
    assert result.returncode == 0, result.stderr
    assert Path(result.stdout.strip()).is_relative_to(installed)
    assert np.array_equal(np.load(model.parent / "vectors.npy"), RegionEncoder.load(model).embed(tokens).numpy())


def test_commands_outside_the_clone(installed, model):
    def slpd(*words: str) -> subprocess.CompletedProcess[str]:
        return outside(model.parent, [installed], installed / "bin" / "slpd", *words)

    assert slpd("--version").stdout == f"slpd {__version__}\n"
    listed = slpd().stdout
    assert all(f"  {name} " in listed and command.line in listed for name, command in COMMANDS.items())
    schema = json.loads((ROOT / "config" / "config.schema.json").read_text(encoding="utf-8"))
    assert json.loads(slpd("schema").stdout) == schema
    assert "regions.grid: integer" in slpd("keys", "regions").stdout
    assert "vectors [regions, 8]" in slpd("describe", "model").stdout


def test_a_command_whose_extra_is_missing_names_it(installed, base_only, model):
    def slpd(*words: str) -> subprocess.CompletedProcess[str]:
        return outside(model.parent, [base_only, installed], installed / "bin" / "slpd", *words)

    result = slpd("keys")
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert "slpd keys needs the package pydantic" in result.stderr and "'.[workflow]'" in result.stderr
    assert "vectors [regions, 8]" in slpd("describe", "model").stdout


def test_report_template_is_found_in_the_installed_package(installed, tmp_path):
    code = (
        "from workflow_scripts.report import page; print(*sorted(p.name for p in page._HERE.iterdir() if p.suffix in "
        "('.html', '.css', '.js'))); print(page._HERE)"
    )
    result = outside(tmp_path, [installed], "-c", code)
    assert result.returncode == 0, result.stderr
    files, place = result.stdout.splitlines()
    assert "report.css report.html report.js" in files and "slide_pages.js" in files
    assert Path(place).is_relative_to(installed)
