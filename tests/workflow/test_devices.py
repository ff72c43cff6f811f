"""A training command in several processes, as torchrun starts it on one machine and on two."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.faults.round_commands import RULES, Command, command, settings, write_cohort
from tests.workflow.tiny import ROOT
from workflow_scripts.core.launch import worker_command, worker_environment
from workflow_scripts.core.tables import read_table

RUN = settings()
PARENT = """
import sys
from workflow_scripts.core import launch
on_gpus = launch.worker_environment
launch.worker_environment = lambda module, argv, devices: on_gpus(module, argv, 0)  # two processes, no GPU
launch.run_workers("workflow_scripts.distill_round", sys.argv[1:], 2)
"""
LOSSES = ("loss", "loss_self", "loss_intra", "loss_inter")


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cohort, and below `alone` what every command of the first round makes in one process."""
    folder = write_cohort(tmp_path_factory.mktemp("devices"))
    for rule in RULES:
        made = command(rule, RUN, folder, folder / "alone", folder / "alone")
        assert made.start(folder / "told", often=False).wait(120) == 0, (folder / "told").read_text()
    return folder


def start(call: list[str], told: Path, made: Command | None = None) -> subprocess.Popen:
    """A process on one thread and the CPU; with `made`, one that runs this command."""
    own = worker_environment("workflow_scripts.distill_round", made.arguments, 0) if made else os.environ
    environment = {**own, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)}
    with told.open("w") as file:
        return subprocess.Popen(call, env=environment, stdout=file, stderr=subprocess.STDOUT)


def processes() -> str:
    """Command lines and environments of all processes."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            found += [(folder / name).read_bytes().decode(errors="replace") for name in ("cmdline", "environ")]
        except OSError:
            continue  # gone, or another user's
    return "\n".join(found)


def distill(cohort: Path, folder: Path) -> Command:
    return command("distill_round", RUN, cohort, cohort / "alone", folder)


def same_losses(made: Command, cohort: Path) -> None:
    one, several = (
        read_table(path / "metrics.parquet") for path in (cohort / "alone/distill_round", made.outputs[1].parent)
    )
    assert len(one) == len(several) > 50
    for name in LOSSES:
        np.testing.assert_allclose(several[name].to_numpy(), one[name].to_numpy(), rtol=1e-5, err_msg=name)


def test_two_processes_on_one_machine(cohort: Path, tmp_path: Path):
    made = distill(cohort, tmp_path)
    told = tmp_path / "told"
    assert start(worker_command(2), told, made).wait(180) == 0, told.read_text()
    same_losses(made, cohort)
    log = made.log.read_text()
    assert "2 process(es)" in log
    assert log.count("training epochs") == 1  # the first process tells, the other keeps silent


def test_one_process_on_each_of_two_machines(cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    job = {"SLURM_NNODES": "2", "SLURM_JOB_ID": str(port - 20000), "SLURMD_NODENAME": "localhost"}
    for name, value in job.items():
        monkeypatch.setenv(name, value)
    made = distill(cohort, tmp_path)
    whole = worker_command(1)
    call = whole[whole.index(sys.executable) :]  # what srun starts on each machine
    machines = [start(call, tmp_path / f"told_{number}", made) for number in range(2)]
    for number, machine in enumerate(machines):
        assert machine.wait(180) == 0, (tmp_path / f"told_{number}").read_text()
    same_losses(made, cohort)


def wait_for_steps(made: Command) -> None:
    began = time.monotonic()
    while not (made.log.exists() and "regions/s" in made.log.read_text()):
        assert time.monotonic() - began < 120
        time.sleep(0.02)


def test_no_process_outlives_the_one_that_started_it(cohort: Path, tmp_path: Path):
    made = distill(cohort, tmp_path)
    job = start([sys.executable, "-c", PARENT, *made.arguments], tmp_path / "told")
    wait_for_steps(made)
    job.kill()
    job.wait(10)
    began = time.monotonic()
    while str(tmp_path) in processes():
        assert time.monotonic() - began < 60, processes()
        time.sleep(0.2)
    again = start([sys.executable, "-c", PARENT, *made.arguments], tmp_path / "told")
    assert again.wait(180) == 0, (tmp_path / "told").read_text()
    same_losses(made, cohort)


def test_a_warning_before_the_time_limit_saves_the_state_of_two_processes(cohort: Path, tmp_path: Path):
    made, told = distill(cohort, tmp_path), tmp_path / "told"
    call = [sys.executable, "-c", PARENT, *made.arguments]
    job = start(call, told)
    wait_for_steps(made)
    job.send_signal(signal.SIGUSR1)
    assert job.wait(120) != 0
    assert "the state is saved" in made.log.read_text()
    assert not any(path.exists() for path in made.outputs)
    again = start(call, told)
    assert again.wait(180) == 0, told.read_text()
    assert "resuming after step" in made.log.read_text()
    same_losses(made, cohort)
