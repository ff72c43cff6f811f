"""The licences that a container ships: every package of the environment, in its own words."""

import importlib.util
import subprocess
import sys
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest

from tests.package.conftest import ROOT

SCRIPT = ROOT / "envs" / "third_party_notices.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("third_party_notices", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def package(folder: Path, metadata: str, **files: str) -> Distribution:
    """A package that is installed in a folder."""
    info = folder / "some-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: some\nVersion: 1.0\n{metadata}\n")
    record = []
    for name, text in files.items():
        (info / name).write_text(text)
        record.append(f"some-1.0.dist-info/{name},,\n")
    (info / "RECORD").write_text("".join(record))
    return Distribution.at(info)


def test_every_package_with_its_version_and_licence_text(tmp_path):
    subprocess.run([sys.executable, SCRIPT, tmp_path / "new" / "notices.txt"], check=True)
    text = (tmp_path / "new" / "notices.txt").read_text(encoding="utf-8")
    listing = "from importlib.metadata import distributions as d\nfor p in d(): print(p.metadata['Name'], p.version)"
    # asked of a process of its own: tests before this one may have put more places on this one's path
    installed = subprocess.run([sys.executable, "-c", listing], text=True, stdout=subprocess.PIPE, check=True).stdout
    assert len(installed.splitlines()) > 50
    for package_and_version in installed.splitlines():
        assert f"\n{package_and_version}\nlicence: " in text
    for name, file in {"tifffile": "LICENSE", "lifelines": "LICENSE", "openslide-bin": "COPYING.LESSER"}.items():
        texts = [found.locate().read_text() for found in distribution(name).files if found.name == file]
        assert texts and all(one.strip() in text for one in texts), name


@pytest.mark.parametrize(
    ("metadata", "told"),
    [
        ("License-Expression: MIT", "MIT"),
        ("License: BSD\n        Redistribution and use in source", "BSD"),
        ("License: long\nClassifier: License :: OSI Approved :: MIT License", "MIT License"),
        ("Classifier: Topic :: Software", "not named"),
    ],
)
def test_how_metadata_name_a_licence(script, tmp_path, metadata, told):
    assert script.licence(package(tmp_path, metadata)) == told


def test_files_that_count_and_a_package_without_any(script, tmp_path):
    texts = {"LICENCE.txt": "be free", "NOTICE": "by some", "COPYING": "copy", "licenses.py": "x = 1", "README": "hi"}
    with_files = package(tmp_path / "with", "License: MIT", **texts)
    assert {text for _, text in script.texts(with_files)} == {"be free", "by some", "copy"}
    without = package(tmp_path / "without", "License: MIT\nHome-page: https://some.example")
    told = script.notices([without])
    assert "some 1.0\nlicence: MIT\nhttps://some.example" in told and "brings no licence file" in told
