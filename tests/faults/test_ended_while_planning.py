"""SIGTERM at the worst moment: while Snakemake's scheduler holds the lock that its handler takes."""

import os
import subprocess
import sys
from pathlib import Path

from tests.workflow.tiny import ROOT, make_project, snakemake

# Snakemake's command line, with a signal of its own in the midst of its second look at the jobs
STRUCK = """
import os, signal, sys
from snakemake.cli import main
from snakemake.scheduling.job_scheduler import JobScheduler
looks, look = [], JobScheduler._finish_jobs
def struck(self):
    looks.append(1)
    if len(looks) == 2:
        assert self._lock.locked()
        os.kill(os.getpid(), signal.SIGTERM)
    look(self)
JobScheduler._finish_jobs = struck
main(sys.argv[1:])
"""


def test_a_run_that_is_ended_while_it_looks_at_its_jobs_ends(tmp_path: Path) -> None:
    project = make_project(tmp_path / "tiny", slides=4)
    call = [sys.executable, "-c", STRUCK, "--snakefile", str(ROOT / "Snakefile"), "--directory", str(project)]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ended = subprocess.run(
        [*call, "--cores", "2", "tissue"],
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    assert ended.returncode != 0 and "Will exit after finishing currently running jobs" in ended.stdout
    assert snakemake(project, "tissue").returncode == 0
