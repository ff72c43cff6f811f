"""Many jobs that lease pretended GPUs at once: whether a card is ever leased twice, and whether all get theirs.

Several processes start one job after another. How many cards a job wants, by which name it is given them (number,
UUID, the UUID's first characters, or all of the machine), how long it holds them and whether it is killed with them
is drawn by a seed. Each job is a process of its own (a fork) that leases as jobs do, through a pretended nvidia-smi.

    python -m tests.benchmarks.gpu_leases [--jobs 2000] [--processes 8] [--seed 0]
"""

import argparse
import os
import random
import signal
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from workflow_scripts.core.gpu import lease_devices

DEVICES = (1, 2, 4)
_HOLD_S = 0.02  # at most
_KILLED = 0.1  # share of the jobs


class Outcome(NamedTuple):
    """What came of a stress: leases, cards in them, how many jobs were killed, how many at once held cards at most."""

    leases: int
    cards: int
    killed: int
    most_at_once: int


def uuid_of(number: int) -> str:
    return f"GPU-{number:x}0000000-0000-0000-0000-000000000000"


def _pretend(folder: Path, devices: int) -> None:
    """Put an nvidia-smi that lists so many cards first in PATH, and the locks into the folder."""
    program = folder / "bin" / "nvidia-smi"
    program.parent.mkdir()
    lines = "\n".join(f"echo '{number}, {uuid_of(number)}'" for number in range(devices))
    program.write_text(f"#!/bin/sh\n{lines}\n")
    program.chmod(0o755)
    os.environ["PATH"] = f"{program.parent}:{os.environ['PATH']}"
    os.environ["SLPD_GPU_LOCKS"] = str(folder)
    os.environ.pop("SLURM_JOB_ID", None)


def _mask(draw: random.Random, devices: int) -> str | None:
    """CUDA_VISIBLE_DEVICES with all cards in some order, each by one of its names, or none."""
    names = [draw.choice((str(n), uuid_of(n), uuid_of(n)[:6])) for n in draw.sample(range(devices), devices)]
    return draw.choice((None, ",".join(names)))


def _job(draw: random.Random, devices: int, journal: int) -> None:
    """Lease, hold and end, with a line in the journal for each card at its begin and end."""
    mask, count = _mask(draw, devices), draw.randint(1, devices)
    os.environ.pop("CUDA_VISIBLE_DEVICES", None)
    if mask is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = mask
    killed, hold_s = draw.random() < _KILLED, draw.random() * _HOLD_S
    cards = lease_devices(count, wait_s=300)
    assert len(set(cards)) == count

    def note(word: str) -> None:
        os.write(journal, f"{time.monotonic_ns()} {word} {os.getpid()} {int(killed)} {' '.join(cards)}\n".encode())

    note("begin")
    time.sleep(hold_s)
    note("end")  # before the locks are freed, so that spans in the journal lie within those of the leases
    if killed:
        os.kill(os.getpid(), signal.SIGKILL)


def _forked(task, *arguments) -> int:
    """Process id of a fork that does the task and ends."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        task(*arguments)
        status = 0
    finally:
        os._exit(status)


def _one_after_another(seed: str, jobs: int, devices: int, journal: int) -> None:
    for number in range(jobs):
        _, status = os.waitpid(_forked(_job, random.Random(f"{seed} {number}"), devices, journal), 0)
        assert status in (0, signal.SIGKILL)


def outcome_of(journal: str) -> Outcome:
    """Counts of a journal.

    Raises:
        AssertionError: a card was held by two jobs at once, or has not been given back.
    """
    held: dict[str, str] = {}
    leases = cards = killed = most = 0
    for line in sorted(journal.splitlines(), key=lambda line: int(line.split()[0])):
        _, word, job, dies, *names = line.split()
        for name in names:
            if word == "begin":
                assert name not in held, f"{name} was leased by {job} while {held[name]} held it"
                held[name] = job
            else:
                assert held.pop(name) == job
        if word == "begin":
            leases, cards, killed = leases + 1, cards + len(names), killed + int(dies)
        most = max(most, len(set(held.values())))
    assert not held, f"not given back: {held}"
    return Outcome(leases, cards, killed, most)


def stress(folder: Path, devices: int, jobs: int, processes: int, seed: int) -> Outcome:
    """Let so many processes start `jobs` jobs in all, on a machine with so many cards."""
    _pretend(folder, devices)
    journal = os.open(folder / "journal", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    share = [jobs // processes + (number < jobs % processes) for number in range(processes)]
    children = [_forked(_one_after_another, f"{seed} {n}", own, devices, journal) for n, own in enumerate(share)]
    failed = [child for child in children if os.waitpid(child, 0)[1]]
    assert not failed, f"{len(failed)} of {processes} processes failed"
    return outcome_of((folder / "journal").read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2000, help="for each number of cards")
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print("| cards | leases | cards leased | jobs killed | jobs at once, at most | s |\n|---|---|---|---|---|---|")
    for devices in DEVICES:
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            found = stress(Path(folder), devices, args.jobs, args.processes, args.seed)
        print(f"| {devices} | {' | '.join(map(str, found))} | {time.monotonic() - began:.0f} |", flush=True)


if __name__ == "__main__":
    main()
