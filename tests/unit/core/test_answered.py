"""A handler that takes a lock which the main thread holds hangs by itself: so the tests are other processes."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from workflow_scripts.core.answered import answer_in_thread

ROOT = Path(__file__).resolve().parents[3]
HELD = """
import signal, sys, threading
from workflow_scripts.core.answered import answer_in_thread
lock, answered = threading.Lock(), threading.Event()
def handler(number, frame):
    with lock:
        answered.set()
signal.signal(signal.SIGTERM, handler)
if "in thread" in sys.argv:
    answer_in_thread(signal.SIGTERM)
with lock:
    signal.raise_signal(signal.SIGTERM)
    print("went on", answered.wait(0.2), flush=True)
print("answered", answered.wait(10), flush=True)
"""


def _run(*args: str, seconds: float) -> str:
    call = [sys.executable, "-c", HELD, *args]
    return subprocess.run(call, cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=True).stdout


def test_a_handler_waits_for_the_lock_of_the_main_thread_which_goes_on() -> None:
    assert _run("in thread", seconds=60) == "went on False\nanswered True\n"


def test_without_it_the_main_thread_hangs() -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        _run(seconds=3)


def test_the_default_stays() -> None:
    assert signal.getsignal(signal.SIGUSR2) is signal.SIG_DFL
    answer_in_thread(signal.SIGUSR2)
    assert signal.getsignal(signal.SIGUSR2) is signal.SIG_DFL
