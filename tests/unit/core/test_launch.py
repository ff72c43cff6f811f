"""Commands that start training once a device."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from workflow_scripts.core.launch import run_workers, worker_command

ROOT = Path(__file__).resolve().parents[3]


def test_one_device_starts_nothing(monkeypatch):
    monkeypatch.delenv("SLURM_NNODES", raising=False)
    assert not run_workers("no.such.module", [], 0)
    assert not run_workers("no.such.module", [], 1)


def test_a_worker_starts_no_workers(monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    assert not run_workers("no.such.module", [], 4)


def test_command_on_one_machine(monkeypatch):
    monkeypatch.delenv("SLURM_NNODES", raising=False)
    command = worker_command(4)
    assert "--standalone" in command
    assert command[command.index("--nproc-per-node") + 1] == "4"


def test_command_on_several_machines(monkeypatch):
    job = {"SLURM_NNODES": "2", "SLURM_JOB_ID": "123456", "SLURMD_NODENAME": "node7"}
    for name, value in job.items():
        monkeypatch.setenv(name, value)
    command = worker_command(8)
    assert command[0] == "srun"
    assert command[command.index("--nnodes") + 1] == "2"
    host, port = command[command.index("--rdzv-endpoint") + 1].split(":")
    assert host == "node7"
    assert 1024 < int(port) < 65536


WORKER = """
import os, sys, time
from workflow_scripts.slpd.signals import caught_signals
rank = int(os.environ["RANK"])
open(f"{sys.argv[1]}/{rank}", "w").write(os.environ["WORLD_SIZE"])
with caught_signals(rank == 0) as caught:
    for _ in range(1200):
        time.sleep(0.05)
        if rank == 0:
            caught.leave()
"""

PARENT = """
import sys
from workflow_scripts.core.launch import run_workers
run_workers("slow_worker", [sys.argv[1]], 2)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_signals_reach_the_workers_and_none_is_left(tmp_path: Path, number: int):
    (tmp_path / "slow_worker.py").write_text(WORKER)
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}", "CUDA_VISIBLE_DEVICES": ""}
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)], env=environment)
    deadline = time.monotonic() + 60
    while not all((tmp_path / rank).exists() for rank in "01") and time.monotonic() < deadline:
        time.sleep(0.1)
    assert {(tmp_path / rank).read_text() for rank in "01"} == {"2"}
    time.sleep(0.5)
    parent.send_signal(number)
    assert parent.wait(60) != 0
    listing = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert f"slow_worker {tmp_path}" not in listing
