"""Leases of pretended devices, by real processes."""

import os
import signal
import subprocess
import sys
import time
import uuid
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
import logging, os, sys
logging.basicConfig(level=logging.INFO)
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
    base = {
        k: v for k, v in os.environ.items() if k not in ("CUDA_VISIBLE_DEVICES", "SLURM_JOB_ID", "SLURM_GPUS_ON_NODE")
    }
    mask = {} if devices is None else {"CUDA_VISIBLE_DEVICES": devices}
    return base | mask | {"SLPD_GPU_LOCKS": str(tmp_path)} | more


def run_ask(env: dict[str, str], count: int, wait_s: float) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", ASK, str(count), str(wait_s)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=env, check=True)


def ask(env: dict[str, str], count: int, wait_s: float = 0.0) -> str:
    return run_ask(env, count, wait_s).stdout.strip()


def driver(tmp_path: Path, body: str) -> dict[str, str]:
    """Environment in which a shell script is nvidia-smi."""
    program = tmp_path / "bin/nvidia-smi"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    return {"PATH": f"{program.parent}:{os.environ['PATH']}"}


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
        assert refused.startswith("refused fewer than 1 of this machine's 1 GPUs were free for 0 minutes; end")
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
        assert ask(env, 2).startswith("refused fewer than 2 of this machine's 3 GPUs")
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


@pytest.mark.parametrize(
    ("allocated", "answer"), [("1", "leased 1 mask 1"), ("0", "leased mask None"), (None, "leased mask None")]
)
def test_a_slurm_job_that_asked_with_gres_keeps_its_device(tmp_path, allocated, answer):
    """Its profile says `gpu: 0` and `gres: gpu:1`, so Snakemake's count is 0; SLURM says what there is."""
    more = {} if allocated is None else {"SLURM_GPUS_ON_NODE": allocated}
    assert (
        ask(environment(tmp_path / "locks", "1" if allocated == "1" else None, SLURM_JOB_ID="17", **more), 0) == answer
    )


def test_jobs_that_share_a_slurm_allocation_lease_within_it(tmp_path):
    env = environment(tmp_path / "locks", "1,2", SLURM_JOB_ID="17")
    assert ask(env, 1) == "leased 1 mask 1"


CARDS = "echo 0, GPU-a1; echo 1, GPU-b2"  # number and UUID, as nvidia-smi prints them


@pytest.mark.parametrize(("body", "answer"), [(CARDS, "leased GPU-a1 mask GPU-a1"), ("exit 9", "leased mask")])
def test_without_a_mask_the_driver_is_asked(tmp_path, body, answer):
    assert ask(environment(tmp_path, None, **driver(tmp_path, body)), 1) == answer


@pytest.mark.parametrize(
    ("mask", "devices"),
    [
        ("0,1", "GPU-a1 GPU-b2"),
        ("1,0", "GPU-b2 GPU-a1"),
        ("GPU-b2", "GPU-b2"),
        ("GPU-b", "GPU-b2"),  # CUDA takes the first characters too
        ("0,GPU-a1", "GPU-a1"),
        ("0,9,1", "GPU-a1"),  # and passes over what follows a number of no card
        ("0,-1,1", "GPU-a1"),
        ("MIG-c3", "MIG-c3"),  # a part of a card, which the list of cards has not
    ],
)
def test_a_card_has_one_name_whatever_the_mask_calls_it(tmp_path, mask, devices):
    env = environment(tmp_path, mask, **driver(tmp_path, CARDS))
    assert ask(env, 2) == f"leased {devices} mask {devices.replace(' ', ',')}"


@pytest.mark.parametrize("mask", ["0", "GPU-a1", "GPU-a"])
def test_a_card_held_by_its_number_is_not_leased_by_another_name(tmp_path, mask):
    cards, journal = driver(tmp_path, CARDS), tmp_path / "journal"
    holder = start_holder(environment(tmp_path, "0", **cards), 1, journal, 99)
    try:
        wait_for_starts(journal, 1)
        assert ask(environment(tmp_path, mask, **cards), 1).startswith("refused")
        assert ask(environment(tmp_path, f"{mask},GPU-b2", **cards), 1) == "leased GPU-b2 mask GPU-b2"
    finally:
        holder.kill()
        holder.wait()


def test_another_folder_for_temporary_files_is_no_other_machine(tmp_path):
    device, journal = f"GPU-{uuid.uuid4()}", tmp_path / "journal"
    env = environment(tmp_path, device)
    del env["SLPD_GPU_LOCKS"]
    holder = start_holder(env | {"TMPDIR": str(tmp_path)}, 1, journal, 99)
    try:
        wait_for_starts(journal, 1)
        assert ask(env, 1).startswith("refused")
    finally:
        holder.kill()
        holder.wait()
        Path(f"/tmp/slpd-gpu-{os.getuid()}/{device}.lock").unlink()


def test_jobs_of_several_cards_take_all_or_none(tmp_path):
    """While one of four cards is held, two jobs that want four wait and leave the three others to be leased."""
    env, journal = environment(tmp_path, "0,1,2,3"), tmp_path / "journal"
    holder = start_holder(env, 1, tmp_path / "held", 99)
    wait_for_starts(tmp_path / "held", 1)
    jobs = [start_holder(env, 4, journal, 4) for _ in range(2)]
    try:
        for _ in range(3):
            assert ask(env, 3, 5) == "leased 1 2 3 mask 1,2,3"
        assert not journal.exists()
    finally:
        holder.kill()
        holder.wait()
    assert [job.wait() for job in jobs] == [0, 0]
    assert {device: len(held) for device, held in spans(journal).items()} == dict.fromkeys("0123", 2)


@pytest.mark.parametrize("devices", [1, 2, 4])
def test_many_jobs_by_all_names_of_the_cards_never_share_one(tmp_path, devices):
    """Some are killed with what they hold; a card in two hands, or one not given back, ends it with an error."""
    call = f"from pathlib import Path; from tests.benchmarks.gpu_leases import stress; folder = Path({str(tmp_path)!r})"
    call += f"; print(*stress(folder, devices={devices}, jobs=48, processes=6, seed=3))"
    done = subprocess.run([sys.executable, "-c", call], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    leases, cards, killed, most = map(int, done.stdout.split())
    assert leases == 48 and killed > 0 and most <= devices
    assert (cards > leases) == (devices > 1)


def test_who_waits_says_so(tmp_path):
    env, journal = environment(tmp_path, "0,1"), tmp_path / "journal"
    holder = start_holder(env, 1, journal, 99)
    try:
        wait_for_starts(journal, 1)
        assert "waiting for 2 GPUs; 1 of 2 are free" in run_ask(env, 2, 1.5).stderr
    finally:
        holder.kill()
        holder.wait()


def test_a_folder_for_locks_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").touch()
    refused = ask(environment(tmp_path, "0", SLPD_GPU_LOCKS=str(tmp_path / "file")), 1)
    assert refused.startswith(f"refused {tmp_path}/file cannot be written")
    assert "SLPD_GPU_LOCKS" in refused
