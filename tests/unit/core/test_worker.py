"""A process that does one thing after another: what ends it, or never comes back, costs that one thing."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable

import pytest

from workflow_scripts.core import worker as worker_module
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.worker import Died, Worker


def start(prefix: str) -> Callable[[str], str]:
    done = []

    def work(item: str) -> str:
        if item.startswith("SIG"):
            os.kill(os.getpid(), getattr(signal, item))
        if item == "exit":
            os._exit(3)
        if item == "sleep":
            time.sleep(600)
        if item == "refuse":
            raise UserError("this cannot be")
        if item == "full":
            raise OSError(28, "No space left on device", "file.parquet")
        if item == "blocked":
            return str(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))
        done.append(item)
        return f"{prefix} {os.getpid()} {len(done)}"

    return work


@pytest.fixture
def worker():
    worker = Worker(start, "by")
    yield worker
    worker.stop()


def test_one_process_does_all(worker):
    first, second = worker.do("a", 60).split(), worker.do("b", 60).split()
    assert first[1] == second[1] != str(os.getpid()) and (first[2], second[2]) == ("1", "2")


@pytest.mark.parametrize(
    ("item", "name", "told"),
    [("SIGSEGV", "SIGSEGV", "signal SIGSEGV"), ("SIGKILL", "SIGKILL", "SIGKILL"), ("exit", "", "exit status 3")],
)
def test_its_end_is_told_and_another_takes_what_follows(worker, item, name, told):
    before = worker.do("a", 60).split()
    with pytest.raises(Died, match=told) as death:
        worker.do(item, 60)
    assert death.value.signal == name
    after = worker.do("b", 60).split()
    assert after[1] != before[1] and after[2] == "1"


def test_what_never_comes_back_is_given_up(worker):
    process = int(worker.do("a", 60).split()[1])
    with pytest.raises(TimeoutError):
        worker.do("sleep", 0.5)
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    assert worker.do("b", 60).startswith("by ")


def test_errors_come_over_as_they_are(worker):
    with pytest.raises(UserError, match="this cannot be"):
        worker.do("refuse", 60)
    with pytest.raises(OSError) as full:
        worker.do("full", 60)
    assert (full.value.errno, full.value.filename) == (28, "file.parquet")
    assert worker.do("b", 60).endswith(" 1")


def test_its_end_between_two_things_is_told_with_the_next(worker):
    process = int(worker.do("a", 60).split()[1])
    os.kill(process, signal.SIGKILL)
    time.sleep(0.5)
    with pytest.raises(Died, match="SIGKILL"):
        worker.do("b", 60)
    assert worker.do("c", 60).startswith("by ")


def cannot_start() -> Callable[[str], str]:
    os._exit(4)


def test_one_that_cannot_start_is_told():
    worker = Worker(cannot_start)
    with pytest.raises(Died, match="exit status 4"):
        worker.do("a", 60)


def test_ctrl_c_does_not_reach_it_from_its_very_start(worker):
    """Else it ends in a traceback where it is still importing; and the process that waits for it is still reached."""
    assert worker.do("blocked", 60) == "True"
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_one_that_nobody_waits_for_any_more_ends_without_a_word(capfd):
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=worker_module._serve, args=(theirs, start, ("by",)))
    ours.close()
    process.start()
    process.join(60)
    assert process.exitcode == 0 and capfd.readouterr().err == ""
