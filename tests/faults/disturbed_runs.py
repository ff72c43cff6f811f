"""A small whole workflow, disturbed at seeded moments and resumed as README.md says until it is done.

Which rules there are, and how many jobs, is read off what Snakemake prints and off the processes at work.
"""

import os
import random
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.same_bits import differences
from tests.faults.round_commands import Disk, small_disk, start_snakemake
from tests.workflow.tiny import CONFIG, changed, make_project, planned, snakemake, write_config

RUN, ALONE, JOB, INTERRUPT, FULL = "run killed", "Snakemake alone killed", "job killed", "Ctrl-C", "full disk"
KINDS = (RUN, ALONE, JOB, INTERRUPT, FULL)
RESULTS = "results/tiny"
_LONGEST_S = 2.0  # from a job's start to the moment: what most of the jobs take
_PATIENCE_S = 300.0  # beyond which a run counts as hanging
_SETTINGS = {
    "slides.per_job": 1,
    "pretrain.runs": {"slpd": {}, "dino": None},
    "pretrain.defaults.rounds": 1,
    "benchmark.heads": {"classification": ["knn"]},
}


def make_small(folder: Path, slides: int) -> Path:
    """The tiny project with one run of one round and one head, not run yet."""
    config = CONFIG
    for key, value in _SETTINGS.items():
        config = changed(config, key, value)
    write_config(make_project(folder, slides), config)
    return folder


@dataclass
class Report:
    """What came of a workflow that was disturbed.

    Attributes:
        struck: disturbances by kind that ended a run.
        rules: how often jobs of a rule were at work at such a moment.
        wrong: what should not have been, a line each; tracebacks of jobs, hanging runs, differing results.
        jobs: jobs that were started, those of an undisturbed run among them.
    """

    struck: Counter[str] = field(default_factory=Counter)
    rules: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    jobs: int = 0

    def add(self, other: "Report") -> None:
        self.struck += other.struck
        self.rules += other.rules
        self.wrong += other.wrong
        self.jobs += other.jobs


def jobs_of(run: subprocess.Popen) -> dict[int, str]:
    """Processes of a run's jobs with the rules they belong to."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            group = int((folder / "stat").read_text().rpartition(")")[2].split()[2])
            words = (folder / "cmdline").read_bytes().split(b"\0") if group == run.pid else []
        except OSError:
            continue  # it has ended meanwhile
        if words[1:2] == [b"-m"] and words[2].startswith(b"workflow_scripts."):
            command = words[2].decode().removeprefix("workflow_scripts.")
            found[int(folder.name)] = words[3].decode() if command == "for_slides" else command
    return found


def _started(told: Path) -> int:
    return len(re.findall(r"^(?:local)?(?:rule|checkpoint) (?!all:)\w+:", told.read_text(), re.MULTILINE))


def _planned_jobs(told: Path) -> int:
    total = re.search(r"^total +(\d+)$", told.read_text(), re.MULTILINE)
    return int(total[1]) if total else 0


def _wait_for_moment(run: subprocess.Popen, told: Path, kills_left: int, moment: random.Random) -> None:
    """Until a drawn job has started and some time has gone, so that the kills that are left cover the jobs that are."""
    place, rest = moment.random(), moment.uniform(0, _LONGEST_S)
    while run.poll() is None:
        jobs = _planned_jobs(told)
        if jobs and _started(told) > place * 2 * jobs / (kills_left + 1):
            break
        time.sleep(0.02)
    until = time.monotonic() + rest
    while run.poll() is None and time.monotonic() < until:
        time.sleep(0.02)


def _strike(kind: str, run: subprocess.Popen, jobs: dict[int, str], disk: Disk, moment: random.Random) -> None:
    if kind == RUN:
        os.killpg(run.pid, signal.SIGKILL)
    elif kind == ALONE:
        run.kill()
    elif kind == JOB and jobs:
        os.kill(moment.choice(sorted(jobs)), signal.SIGKILL)
    elif kind == FULL:
        disk.fill(run)
    else:
        os.killpg(run.pid, signal.SIGINT)


def _ended(run: subprocess.Popen, report: Report, kind: str) -> int:
    """The exit status of a run that was struck; one that hangs is ended."""
    try:
        return run.wait(_PATIENCE_S)
    except subprocess.TimeoutExpired:
        report.wrong.append(f"{kind}: the run went on for {_PATIENCE_S:g} s")
        os.killpg(run.pid, signal.SIGKILL)
        return run.wait()


def _disturbed(project: Path, kind: str, kills_left: int, moment: random.Random, disk: Disk, report: Report) -> bool:
    """Run the workflow until it is struck; whether it was, before it came to its end."""
    told = disk.folder.parent / "told.txt"  # on another disk
    run = start_snakemake(project, told=told)
    try:
        _wait_for_moment(run, told, kills_left, moment)
        jobs = jobs_of(run)
        if run.poll() is None:
            with suppress(ProcessLookupError):  # the job may just have ended
                _strike(kind, run, jobs, disk, moment)
        status = _ended(run, report, kind)
        report.jobs += _started(told)
        if status == 0:
            return False
    finally:
        disk.free()
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
    report.struck[kind] += 1
    report.rules.update(set(jobs.values()))
    report.wrong += _told_wrongly(kind, told.read_text(), jobs)
    return True


def _told_wrongly(kind: str, text: str, jobs: dict[int, str]) -> Iterator[str]:
    """Tracebacks of jobs, of which Ctrl-C and a full disk are to have none."""
    if kind == INTERRUPT and "Traceback" in text:
        yield f"{kind}: a traceback, {sorted(set(jobs.values()))} at work: {text[text.index('Traceback') :][:1500]}"
    # Snakemake may have one of its own, for it writes to that disk, too, and its words hold a job's command
    if kind == FULL and re.search(r'^ *File ".*/workflow_scripts/', text.partition("Traceback")[2], re.MULTILINE):
        yield f"{kind}: a job's traceback: {text[text.index('Traceback') :][:1500]}"


def _resumable(project: Path, report: Report) -> None:
    """Do what a run that is refused is told to do, and nothing where it is not refused."""
    for _ in range(3):
        if not (project / ".snakemake/locks").exists():
            return
        told = snakemake(project).stdout
        if end := re.search(r"still at work .*\(kill ([\d ]+)\)", told):
            for number in end[1].split():
                subprocess.run(["kill", number], check=False)
        elif re.search(r"^error: .* take the lock away with `snakemake .* --unlock`", told, re.MULTILINE):
            if snakemake(project, "--unlock").returncode:
                report.wrong.append("--unlock failed")
        elif "error: " in told or "LockException" in told:
            report.wrong.append(f"a refusal that does not say how to go on: {told[-500:]}")
        else:
            return
    report.wrong.append("the run is still refused after what it said was done")


def disturb(project: Path, undisturbed: Path, kills: int, seed: int, disk: Disk) -> Report:
    """Run a project's workflow, strike it up to `kills` times, resume it each time, and compare it with another's.

    Args:
        project: made by `make_small`, and not run yet.
        undisturbed: the same project, done.
        kills: disturbances; fewer where the workflow is done before.
        seed: of kinds and moments.
        disk: that of the project.
    """
    moment, report = random.Random(seed), Report()
    kinds = [KINDS[number % len(KINDS)] for number in range(kills)]
    moment.shuffle(kinds)
    for number, kind in enumerate(kinds):
        if not _disturbed(project, kind, kills - number, moment, disk, report):
            break
        _resumable(project, report)
    last = snakemake(project)
    report.jobs += len(re.findall(r"^Finished jobid", last.stdout, re.MULTILINE))
    if last.returncode:
        report.wrong.append(f"the last run failed: {last.stdout[-1500:]}")
    elif planned(project):
        report.wrong.append(f"jobs are planned after the last run: {planned(project)}")
    report.wrong += unlike(undisturbed / RESULTS, project / RESULTS)
    return report


def unlike(undisturbed: Path, found: Path) -> list[str]:
    """What of two folders of results differs, but for speeds and times; and what a killed job has left."""
    wrong = [f"{name}: {difference}" for name, difference in differences(undisturbed, found)]
    one, other = (
        {
            file.relative_to(root): file
            for file in root.rglob("*")
            if file.is_file() and not {"cost", "logs"} & set(file.parts)
        }
        for root in (undisturbed, found)
    )
    wrong += [f"{name}: only in one folder" for name in sorted(set(one) ^ set(other))]
    texts = [name for name in one if name.suffix in (".csv", ".md", ".tex", ".geojson", ".png") and name in other]
    return wrong + [f"{name}: other bytes" for name in texts if one[name].read_bytes() != other[name].read_bytes()]


def own_disk(folder: Path, megabytes: int = 256) -> AbstractContextManager[Disk]:
    """A disk for a project, of its own where that may be mounted."""
    return small_disk(folder, megabytes=megabytes)
