"""The SLURM profile and the rules know each other: every job of a whole run is planned with it."""

from pathlib import Path

from tests.workflow.tiny import CONFIG, ROOT, changed, make_project, snakemake, write_config


def test_every_rule_is_planned_with_the_profile_that_users_get(tmp_path: Path) -> None:
    project = make_project(tmp_path / "tiny")
    write_config(project, changed(CONFIG, "benchmark.heads.classification", ["knn", "abmil"]))
    result = snakemake(project, "-n", "--workflow-profile", str(ROOT / "profiles" / "slurm"))
    assert result.returncode == 0, result.stdout[-3000:]
    assert "fit_head" in result.stdout and "abmil/predictions.parquet" in result.stdout
