"""A cohort without labels goes through to the report, which says how to add a task."""

from pathlib import Path

import pytest

from tests.workflow.tiny import CONFIG, copy_project, planned, snakemake, write_config
from workflow_scripts.core import schemas
from workflow_scripts.core.tables import read_table


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> Path:
    """A finished project whose config then names no task."""
    folder = copy_project(finished, tmp_path / "tiny")
    plan = {key: value for key, value in CONFIG["benchmark"].items() if key != "tasks"}
    write_config(folder, CONFIG | {"benchmark": plan})
    return folder


def test_the_run_ends_with_an_empty_table_and_a_report_that_says_why(project: Path) -> None:
    rules = ("collect_results", "export_results", "describe_groups", "write_report")  # groups have no classes now
    assert planned(project) == dict.fromkeys(rules, 1)
    result = snakemake(project)
    assert result.returncode == 0, result.stdout[-3000:]
    table = read_table(project / "results/tiny/benchmark/results.parquet")
    assert len(table) == 0 and table.schema.remove_metadata().equals(schemas.RESULTS)
    text = (project / "results/tiny/report.html").read_text()
    assert "No task is named" in text and "benchmark.tasks" in text


def test_a_manifest_without_any_label_is_planned(project: Path) -> None:
    rows = [line.split(",")[:4] for line in (project / "slides.csv").read_text().splitlines()]
    (project / "slides.csv").write_text("\n".join(",".join(row) for row in rows) + "\n")
    jobs = planned(project, "--forceall")
    assert "fit_head" not in jobs and "split_patients" not in jobs
    assert jobs["collect_results"] == jobs["export_results"] == jobs["write_report"] == 1
