"""Leases of pretended devices, by real processes."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
# Leases, appends "start device time" to the journal, waits until enough jobs have leased, then ends.
HOLDER = """
import os, sys, time
from workflow_scripts.core.gpu import lease_devices
count, journal, least = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
def note(word):
    with open(journal, "a") as file:
        file.write("".join(f"{word} {d} {time.monotonic()}\\n" for d in devices))
devices = lease_devices(count)
assert os.environ["CUDA_VISIBLE_DEVICES"] == ",".join(devices)
note("start")
end = time.monotonic() + 20
while sum(line.startswith("start") for line in open(journal)) < least and time.monotonic() < end:
    time.sleep(0.01)
time.sleep(0.02)
note("end")
"""
ASK = """
import os, sys
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.gpu import lease_devices
try:
    devices = lease_devices(int(sys.argv[1]), wait_s=float(sys.argv[2]))
except UserError as error:
    print("refused", error)
else:
    print("leased", *devices, "mask", os.environ.get("CUDA_VISIBLE_DEVICES"))
"""


def environment(tmp_path: Path, devices: str | None, **more: str) -> dict[str, str]:
    base = {k: v for k, v in os.environ.items() if k not in ("CUDA_VISIBLE_DEVICES", "SLURM_JOB_ID")}
    mask = {} if devices is None else {"CUDA_VISIBLE_DEVICES": devices}
    return base | mask | {"SLPD_GPU_LOCKS": str(tmp_path)} | more


def ask(env: dict[str, str], count: int, wait_s: float = 0.0) -> str:
    command = [sys.executable, "-c", ASK, str(count), str(wait_s)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=env, check=True).stdout.strip()


def start_holder(env: dict[str, str], count: int, journal: Path, least: int) -> subprocess.Popen:
    command = [sys.executable, "-c", HOLDER, str(count), str(journal), str(least)]
    return subprocess.Popen(command, cwd=ROOT, env=env, stderr=subprocess.DEVNULL)


def wait_for_starts(journal: Path, number: int) -> None:
    end = time.monotonic() + 20
    while not journal.exists() or journal.read_text().count("start") < number:
        assert time.monotonic() < end, "no lease in 20 s"
        time.sleep(0.01)


def spans(journal: Path) -> dict[str, list[tuple[float, float]]]:
    """Times at which each device was held, in order."""
    found: dict[str, list[tuple[float, float]]] = {}
    open_since: dict[str, float] = {}
    for word, device, moment in sorted((line.split() for line in journal.open()), key=lambda line: float(line[2])):
        if word == "start":
            assert device not in open_since, f"device {device} was leased twice at once"
            open_since[device] = float(moment)
        else:
            found.setdefault(device, []).append((open_since.pop(device), float(moment)))
    assert not open_since
    return found


def test_twelve_jobs_four_at_a_time_never_share_a_device_and_use_all(tmp_path):
    env, journal = environment(tmp_path, "0,1,2,3"), tmp_path / "journal"
    with ThreadPoolExecutor(4) as semaphore:  # as Snakemake's --resources gpu=4
        jobs = list(semaphore.map(lambda _: start_holder(env, 1, journal, 4).wait(), range(12)))
    assert jobs == [0] * 12
    held = spans(journal)
    assert sorted(held) == ["0", "1", "2", "3"]
    assert sum(map(len, held.values())) == 12


def test_more_jobs_than_devices_wait_for_their_turn(tmp_path):
    env, journal = environment(tmp_path, "a,b"), tmp_path / "journal"
    jobs = [start_holder(env, 1, journal, 1) for _ in range(5)]
    assert [job.wait() for job in jobs] == [0] * 5
    assert sum(map(len, spans(journal).values())) == 5


def test_killed_holder_frees_its_device(tmp_path):
    env, journal = environment(tmp_path, "7"), tmp_path / "journal"
    holder = start_holder(env, 1, journal, 99)
    try:
        wait_for_starts(journal, 1)
        refused = ask(env, 1)
        assert refused.startswith("refused only 0 of 1 GPUs became free")
        assert "\n" not in refused
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    assert ask(env, 1, 5) == "leased 7 mask 7"


def test_two_devices_of_three_leave_one(tmp_path):
    env, journal = environment(tmp_path, "0,1,2"), tmp_path / "journal"
    holder = start_holder(env, 2, journal, 99)
    try:
        wait_for_starts(journal, 2)
        assert ask(env, 1) == "leased 2 mask 2"
        assert ask(env, 2).startswith("refused only 1 of 2")
    finally:
        holder.kill()
        holder.wait()


@pytest.mark.parametrize("devices", ["0,1", "", None])
def test_no_gpu_granted_means_an_empty_mask(tmp_path, devices):
    assert ask(environment(tmp_path, devices), 0) == "leased mask"


@pytest.mark.parametrize("mask", ["", "-1"])
def test_machine_without_devices_falls_back_to_the_cpu(tmp_path, mask):
    assert ask(environment(tmp_path, mask), 2) == "leased mask"


def test_no_more_is_leased_than_there_is(tmp_path):
    assert ask(environment(tmp_path, "3,5"), 4) == "leased 3 5 mask 3,5"


def test_under_slurm_nothing_is_leased(tmp_path):
    locks = tmp_path / "locks"
    env = environment(locks, "1,2", SLURM_JOB_ID="17")
    assert ask(env, 2) == "leased 1 2 mask 1,2"
    assert not locks.exists()


def test_jobs_that_share_a_slurm_allocation_lease_within_it(tmp_path):
    env = environment(tmp_path / "locks", "1,2", SLURM_JOB_ID="17")
    assert ask(env, 1) == "leased 1 mask 1"


@pytest.mark.parametrize(
    ("body", "answer"), [("echo GPU-x\necho GPU-y", "leased GPU-x mask GPU-x"), ("exit 9", "leased mask")]
)
def test_without_a_mask_the_driver_is_asked(tmp_path, body, answer):
    driver = tmp_path / "bin/nvidia-smi"
    driver.parent.mkdir()
    driver.write_text(f"#!/bin/sh\n{body}\n")
    driver.chmod(0o755)
    assert ask(environment(tmp_path, None, PATH=f"{driver.parent}:{os.environ['PATH']}"), 1) == answer
