"""What tests of the benchmark's commands share."""

from pathlib import Path

import pytest

from tests.unit.benchmark.made import make_cohort


@pytest.fixture
def cohort(tmp_path: Path) -> Path:
    """A folder of its own with the cohort of `made.py`, not yet split."""
    make_cohort(tmp_path)
    return tmp_path
