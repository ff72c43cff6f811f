"""What unit tests share: a log that each has to itself, and a report's results, for these take seconds to make."""

import logging
from pathlib import Path

import pytest

from tests.unit.report.atlas_tables import add_atlas
from tests.unit.report.results_folder import make_results


@pytest.fixture(autouse=True)
def own_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """The workflow's log as it is before a command starts: an entry that a test runs in process sets it up for all."""
    log = logging.getLogger("workflow_scripts")
    monkeypatch.setattr(log, "handlers", [])
    monkeypatch.setattr(log, "propagate", True)


@pytest.fixture(scope="session")
def results_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder, which no test may change."""
    root = tmp_path_factory.mktemp("cohort") / "demo"
    make_results(root)
    add_atlas(root)
    return root
