"""What tests share: real slides (beside the project in ../shared/data, or where SLPD_TEST_DATA points), and a run."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.workflow.tiny import make_project, snakemake

_DATA = Path(os.environ.get("SLPD_TEST_DATA") or Path(__file__).resolve().parents[1] / ".." / "shared" / "data")


@pytest.fixture(scope="session")
def data() -> Path:
    """Folder of the real test data; tests that need it are skipped where it is missing."""
    if not (_DATA / "slides").is_dir():
        pytest.skip("no test data: neither ../shared/data nor SLPD_TEST_DATA holds slides/")
    return _DATA.resolve()


@pytest.fixture(scope="session")
def bad(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with broken slides derived from a good one by the data's own script."""
    folder = tmp_path_factory.mktemp("bad")
    good = data / "slides" / "CMU-1-Small-Region.svs"
    subprocess.run([sys.executable, data / "bad" / "make_bad.py", good, folder], check=True)
    return folder


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Project folder after `snakemake --cores 2`. Copy it before changing anything in it.

    Where several processes run the tests, the first that needs it makes it for all.
    """
    top = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        top = top.parent
    folder = top / "workflow" / "tiny"
    with (top / "workflow.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "results/tiny/report.html").exists():
            result = snakemake(make_project(folder))
            assert result.returncode == 0, result.stdout[-6000:]
    return folder
