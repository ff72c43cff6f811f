"""One run at a time on a cohort's results: other processes hold the lock, are killed, and leave jobs behind."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from workflow_scripts.core import run_lock
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.run_lock import JOIN, lock_file, require_unlocked, take

ROOT = Path(__file__).resolve().parents[3]
RESULTS = "results/mine"
JOB = (
    "from workflow_scripts.core.run_lock import join; import time; join(); print('joined', flush=True); time.sleep(100)"
)
RUN = """
import os, subprocess, sys, time
from workflow_scripts.core.run_lock import JOIN, lock_file, take
assert take("results/mine")
print("taken", flush=True)
if len(sys.argv) > 1:
    environment = {**os.environ, JOIN: str(lock_file("results/mine"))}
    print(subprocess.Popen([sys.executable, "-c", sys.argv[1]], env=environment).pid, flush=True)
time.sleep(100)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(JOIN, raising=False)
    monkeypatch.setattr(run_lock, "_held", {})
    monkeypatch.setattr(run_lock, "_ENDING_S", 0.3)
    return tmp_path


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen]]:
    """Starts a run in this folder, with a job if that is given; all are ended after the test."""
    begun = []

    def run(*job: str) -> subprocess.Popen:
        call = [sys.executable, "-c", RUN, *job]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        begun.append(subprocess.Popen(call, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True))
        assert begun[-1].stdout.readline() == "taken\n"
        return begun[-1]

    yield run
    for child in begun:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        child.stdout.close()


def test_a_second_run_is_told_of_the_first(start):
    first = start()
    with pytest.raises(UserError) as error:
        take(RESULTS)
    assert str(error.value).startswith("another run is at work on results/mine, since 20")
    assert f"(process {first.pid} on {os.uname().nodename}, or jobs of it)" in str(error.value)
    assert take("results/theirs")  # another cohort's results
    first.kill()
    first.wait()
    assert take(RESULTS) and take(RESULTS)  # once is enough for a process


def test_jobs_that_outlive_their_run_are_told_by_their_numbers(start):
    run = start(JOB)
    job = int(run.stdout.readline())
    assert run.stdout.readline() == "joined\n"
    run.kill()
    run.wait()
    with pytest.raises(UserError, match=rf"itself killed are still at work \(processes {job}\).*\(kill {job}\)"):
        take(RESULTS)
    os.kill(job, signal.SIGKILL)
    assert take(RESULTS)


def test_a_killed_process_is_given_time_to_be_gone(start, monkeypatch):
    run = start()
    monkeypatch.setattr(run_lock, "_ENDING_S", 30)
    killer = subprocess.Popen(["sh", "-c", f"sleep 0.5; kill -9 {run.pid}"])
    assert take(RESULTS)
    killer.wait()


def test_a_disk_that_knows_no_locks_is_worked_on_without(monkeypatch):
    def flock(handle: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", flock)
    assert not take(RESULTS)
    monkeypatch.setenv(JOIN, str(lock_file(RESULTS)))
    run_lock.join()
    assert not run_lock._held


def test_a_lock_of_snakemakes_that_was_left_is_told_with_the_command(folder):
    locks = folder / ".snakemake" / "locks"
    locks.mkdir(parents=True)
    (locks / "0.output.lock").write_text("results/mine2/check/a.parquet\nresources/demo/demo_01.svs\n")
    require_unlocked(RESULTS, "snakemake")
    (locks / "1.output.lock").write_text("results/mine2/check/a.parquet\nresults/mine/check/a.parquet\n")
    with pytest.raises(UserError, match=r"results/mine was killed .* with `snakemake --cores 2 --unlock`, then run"):
        require_unlocked(RESULTS, "snakemake --cores 2")


@pytest.mark.skipif(os.geteuid() != 0, reason="another user is needed")
@pytest.mark.parametrize("mode", [0o666, 0o644])
def test_another_users_run_is_told_of_too(start, folder, mode):
    """Whose file it is, and what its umask made of it, changes nothing."""
    first = start()
    for place in (folder, *folder.parents):
        if place.stat().st_uid == 0 and str(place).startswith("/tmp/"):
            place.chmod(0o755)
    if mode != 0o666:
        lock_file(RESULTS).chmod(mode)
    assert lock_file(RESULTS).stat().st_mode & 0o777 == mode
    os.seteuid(65534)
    try:
        with pytest.raises(UserError, match="another run is at work"):
            take(RESULTS)
        first.kill()
        first.wait()
        assert take(RESULTS)
    finally:
        os.seteuid(0)
