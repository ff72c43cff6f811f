"""What tests of the report share, for it takes seconds to make."""

from pathlib import Path

import pytest

from tests.unit.report.atlas_tables import add_atlas
from tests.unit.report.results_folder import make_results


@pytest.fixture(scope="session")
def results_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder, which no test may change."""
    root = tmp_path_factory.mktemp("cohort") / "demo"
    make_results(root)
    add_atlas(root)
    return root
