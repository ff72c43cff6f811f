"""Two runs at once in one folder, and what a killed run leaves behind: the next is told in a sentence how to go on."""

import os
import signal
import subprocess
import time
from pathlib import Path

from tests.faults.round_commands import start_snakemake
from tests.faults.test_bad_input import refusal
from tests.workflow.tiny import make_project, planned, snakemake
from workflow_scripts.core.tables import read_table


def _wait_for_jobs(run: subprocess.Popen, project: Path) -> None:
    """Until a run has Snakemake's lock, which it takes away in the end."""
    while run.poll() is None and not (project / ".snakemake/locks/0.output.lock").exists():
        time.sleep(0.05)
    assert run.poll() is None


def test_a_second_run_is_told_and_a_killed_one_is_resumed(tmp_path: Path) -> None:
    project = make_project(tmp_path / "tiny", slides=4)
    run = start_snakemake(project, "tissue")
    try:
        _wait_for_jobs(run, project)
        os.killpg(run.pid, signal.SIGSTOP)  # it shall not be done before the others have started
        for args in (("--cores", "1", "cohort"), ("--unlock",)):
            message = refusal(project, *args)
            assert "another run is at work on results/tiny, since 20" in message and f"process {run.pid} on" in message
        assert snakemake(project, "-n").returncode == 0  # a plan takes nothing
        os.killpg(run.pid, signal.SIGCONT)
        assert run.wait(240) == 0  # the refused ones have damaged nothing
        assert planned(project, "tissue") == {}

        run = start_snakemake(project, "tissue", "--forceall")
        _wait_for_jobs(run, project)
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    finally:
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
    message = refusal(project, "tissue")
    assert "a run on results/tiny was killed and has left its lock behind" in message
    assert f"--directory {project} --cores 2 tissue --unlock`" in message
    assert snakemake(project, "tissue", "--unlock").returncode == 0
    assert snakemake(project, "tissue").returncode == 0
    assert len(list((project / "results/tiny/tissue").glob("*.parquet"))) == 5
    assert all(len(read_table(file)) for file in (project / "results/tiny/check").glob("*.parquet"))


def test_two_runs_that_start_at_the_same_moment(tmp_path: Path) -> None:
    project = make_project(tmp_path / "tiny", slides=4)
    runs = [start_snakemake(project, "features") for _ in range(3)]
    assert sorted(run.wait(240) for run in runs) == [0, 1, 1]
    assert planned(project, "features") == {}
