"""Every command of a round, disturbed at a seeded moment and run again, gives the bits of an undisturbed run.

Snakemake deletes the declared outputs of a job that fails and keeps the scratch folder; so do these tests.
"""

import os
import random
import re
import shutil
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.faults.round_commands import (
    RULES,
    TRAINING,
    Command,
    Disk,
    command,
    content_of,
    finish,
    settings,
    small_disk,
    start_snakemake,
    write_cohort,
)
from tests.workflow.tiny import CONFIG, ROOT, changed, copy_project, snakemake, write_config
from workflow_scripts.core.schemas import SPEED_FILE

SEED = 20
FULL, LIMIT = "full disk", "file size limit"
KINDS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGKILL, FULL)


class Case(NamedTuple):
    """A disturbance of `rule` after `part` of the time that it takes, in all or from its first step on."""

    rule: str
    kind: signal.Signals | str
    since: str
    part: float

    def __str__(self) -> str:
        kind = self.kind if isinstance(self.kind, str) else self.kind.name
        return f"{self.rule}-{kind}-{self.part:.2f} of {self.since}".replace(" ", "_")


def _cases() -> list[Case]:
    moment = random.Random(SEED).random
    cases = [Case(rule, kind, "all", moment()) for rule in RULES for kind in KINDS]
    cases += [Case(rule, kind, "steps", moment()) for rule in TRAINING for kind in KINDS]
    return [*cases, Case("distill_round", LIMIT, "steps", moment())]


CASES = _cases()


class Undisturbed(NamedTuple):
    """The reference: where it lies, its outputs, and how long each command takes, in all and from its first step on."""

    cohort: Path
    folder: Path
    outputs: dict[str, dict[str, Any]]
    seconds: dict[str, tuple[float, float]]


@dataclass
class Outcome:
    """What a disturbed command left behind, and what came of it once it was run again.

    Attributes:
        status: exit status of the disturbed command.
        told: what it printed.
        left: the outputs it left.
        strays: files it left beside outputs, log and scratch.
        again: what the second run printed; empty where the first had come to its end.
        result: the outputs in the end.
        remaining: all files in the end, outputs and log apart.
    """

    status: int
    told: str
    left: dict[str, Any]
    strays: list[str]
    again: str
    result: dict[str, Any]
    remaining: list[str]

    @property
    def resumed(self) -> bool:
        return "resuming after step" in self.again


def _files(folder: Path, todo: Command, *more: Path) -> list[str]:
    """Files in `folder` that are no outputs, also by their second names, nor what is told of them, nor under `more`."""
    own = [*todo.outputs, todo.log, todo.outputs[0].with_name(SPEED_FILE)]
    own += [path.parent / ".kept" / name for path in todo.outputs for name in (path.name, f"{path.stem}.json")]
    found = [path for path in folder.rglob("*") if path.is_file() and path not in own]
    return [str(path.relative_to(folder)) for path in found if not any(path.is_relative_to(one) for one in more)]


def _wait(todo: Command, child: Any, told: Path, case: Case, seconds: tuple[float, float]) -> None:
    """Until the moment of the disturbance, or the command's end if that is earlier."""
    if case.since == "steps":
        while child.poll() is None and "training epochs" not in told.read_text():
            time.sleep(0.01)
    moment = time.monotonic() + case.part * seconds[case.since == "steps"]
    while child.poll() is None and time.monotonic() < moment:
        time.sleep(0.01)


def _disturb(case: Case, todo: Command, disk: Disk, told: Path, seconds: tuple[float, float]) -> int:
    """Start the command, disturb it, and wait for its end; its exit status."""
    child = todo.start(told)
    try:
        _wait(todo, child, told, case, seconds)
        if child.poll() is None:
            child.send_signal(case.kind) if isinstance(case.kind, signal.Signals) else disk.fill(child)
        return child.wait(120)
    finally:
        child.kill()
        child.wait()


def _again(todo: Command, told: Path) -> str:
    """What Snakemake does with a job that failed: delete its outputs, keep its scratch, run it once more."""
    for path in todo.outputs:
        path.unlink(missing_ok=True)
    finish(todo, told)
    return told.read_text()


def _outcome(case: Case, reference: Undisturbed, folder: Path) -> Outcome:
    texts, place = folder / "texts", folder / "disk"
    texts.mkdir(parents=True)
    with small_disk(place, case.kind == FULL) as disk:
        todo = command(case.rule, settings(), reference.cohort, reference.folder, place)
        status = _disturb(case, todo, disk, texts / "first", reference.seconds[case.rule])
        disk.free()
        left, strays = todo.content(), _files(place, todo, todo.scratch)
        again = _again(todo, texts / "second") if status else ""
        told = (texts / "first").read_text()
        return Outcome(status, told, left, strays, again, todo.content(), _files(place, todo))


def _struck_outcome(case: Case, reference: Undisturbed, folder: Path) -> Outcome:
    """The outcome; a command that was done before its moment, on a machine less busy by now, is disturbed earlier."""
    for number in range(3):
        sooner = case._replace(part=case.part / 2**number)
        outcome = _outcome(sooner, reference, folder / str(number))
        if outcome.status:
            break
    return outcome


def _round(cohort: Path, folder: Path, often: bool) -> dict[str, tuple[float, float]]:
    """Run all commands of the round undisturbed; the seconds of each."""
    folder.mkdir()
    todo = {rule: command(rule, settings(), cohort, folder, folder) for rule in RULES}
    return {rule: finish(todo[rule], folder / f"{rule}.txt", often) for rule in RULES}


def _outputs(cohort: Path, folder: Path) -> dict[str, dict[str, Any]]:
    return {rule: command(rule, settings(), cohort, folder, folder).content() for rule in RULES}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """The reference, run as the rules run it; timed in a second run beside it, which saves its state often."""
    top = tmp_path_factory.mktemp("rounds")
    cohort = write_cohort(top / "cohort")
    plain, often = top / "plain", top / "often"
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(_round, cohort, folder, folder == often) for folder in (plain, often)]
        seconds = [run.result() for run in runs][1]
    outputs = _outputs(cohort, plain)
    assert outputs == _outputs(cohort, often)
    assert all(content is not None for outputs in outputs.values() for content in outputs.values())
    return Undisturbed(cohort, plain, outputs, seconds)


@pytest.fixture(scope="module")
def outcomes(undisturbed: Undisturbed, tmp_path_factory: pytest.TempPathFactory) -> dict[Case, Outcome]:
    """All cases, two at a time."""
    top = tmp_path_factory.mktemp("disturbed")
    with ThreadPoolExecutor(2) as pool:
        runs = {case: pool.submit(_struck_outcome, case, undisturbed, top / str(case)) for case in CASES}
        return {case: run.result() for case, run in runs.items()}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_disturbed_command_run_again_equals_an_undisturbed_one(case, undisturbed, outcomes):
    expected, outcome = undisturbed.outputs[case.rule], outcomes[case]
    assert all(found is None or found == expected[name] for name, found in outcome.left.items())
    # what a killed process was writing has a name that nothing reads
    assert all(re.fullmatch(r"\.\w+\.\w+\.\d+\.partial", Path(name).name) for name in outcome.strays)
    assert outcome.result == expected
    assert outcome.remaining == []  # neither the scratch state nor what was written in part stays
    if "the state is saved" in outcome.told:
        assert outcome.resumed


@pytest.mark.parametrize("case", [case for case in CASES if case.kind in (FULL, LIMIT)], ids=str)
def test_a_full_disk_is_told_in_one_sentence_with_the_file(case, outcomes):
    outcome = outcomes[case]
    if outcome.status == 0:
        pytest.skip("it had come to its end before the disk was full")
    assert outcome.status == 1
    assert "Traceback" not in outcome.told
    (line,) = [line for line in outcome.told.splitlines() if "error" in line.lower()]
    told = "the disk is full|the limit on the size of a file is reached"
    assert re.search(rf"error: ({told}) while writing \S+/disk/\S+\.(parquet|safetensors); .* again$", line), line


def test_many_of_the_disturbances_struck_and_resumed(outcomes, capsys):
    struck, resumed = Counter(), Counter()
    for case, outcome in outcomes.items():
        struck[case.rule] += outcome.status != 0
        resumed[getattr(case.kind, "name", case.kind)] += outcome.resumed
    with capsys.disabled():
        print(f"\n{sum(struck.values())} of {len(CASES)} struck {dict(struck)}, resumed {dict(resumed)}")
    assert sum(struck.values()) >= 20
    assert all(struck[rule] >= 2 for rule in RULES)
    assert sum(resumed.values()) >= 6 and len(+resumed) >= 3


@pytest.mark.parametrize("rule", RULES)
def test_the_commands_have_the_arguments_that_the_rules_give(rule, tmp_path):
    text = (ROOT / "rules/pretrain.smk").read_text()
    call = re.search(rf"python -m workflow_scripts\.{rule} (.*?)\n\n", text, re.DOTALL)
    given = command(rule, settings(), tmp_path, tmp_path, tmp_path).arguments
    assert {word for word in given if word.startswith("--")} == set(re.findall(r"--[a-z-]+", call[1]))


@pytest.fixture(scope="module")
def killed(undisturbed: Undisturbed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a distillation killed once its state was saved, with a file that another one had half written."""
    folder = tmp_path_factory.mktemp("killed") / "it"
    todo = command("distill_round", settings(), undisturbed.cohort, undisturbed.folder, folder)
    folder.mkdir()
    child = todo.start(folder / "log")
    while child.poll() is None and not list(todo.scratch.glob("[!.]*.safetensors")):
        time.sleep(0.01)
    child.kill()
    assert child.wait() == -signal.SIGKILL
    todo.outputs[0].parent.mkdir()
    (todo.outputs[0].parent / f".state.safetensors.{child.pid}.partial").write_bytes(b"half")
    return folder


CHANGES = {"learning rate": {"optimiser": {"lr": 0.002}}, "seed": {"seed": 1}, "neighbours": {}, "code": {}, "none": {}}


@pytest.mark.parametrize("change", CHANGES)
def test_only_an_unchanged_command_resumes(change, undisturbed, killed, tmp_path):
    same, given = undisturbed.outputs["distill_round"], undisturbed.folder
    run, code = settings(**CHANGES[change]), "c1" if change == "code" else "c0"
    if change == "neighbours":
        given = shutil.copytree(given, tmp_path / "given")
        two = settings(neighbours={"count": 2})
        finish(command("assign_neighbours", two, undisturbed.cohort, undisturbed.folder, given), tmp_path / "told")
    stale, fresh = shutil.copytree(killed, tmp_path / "stale"), tmp_path / "fresh"
    fresh.mkdir()
    todo = [command("distill_round", run, undisturbed.cohort, given, folder, code) for folder in (stale, fresh)]
    other = change not in ("code", "none")  # whether its result is another one
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(finish, todo[: 1 + other], [stale / "log", fresh / "log"]))
    assert ("resuming after step" in (stale / "log").read_text()) == (change == "none")
    assert todo[0].content() == (todo[1].content() if other else same)
    assert (todo[0].content() != same) == other
    assert _files(stale, todo[0]) == ["log"]  # neither stale states nor what was half written


def _struck(project: Path, number: signal.Signals) -> None:
    """Start the pretraining in the background and end all its processes while it distils."""
    log = project / "results/tiny/logs/pretrain/slpd/distill_01.log"
    log.unlink(missing_ok=True)
    child = start_snakemake(project, "pretrain")
    try:
        while child.poll() is None and not (log.exists() and "training epochs" in log.read_text()):
            time.sleep(0.01)
        time.sleep(0.3)
        assert child.poll() is None
        os.killpg(child.pid, number)
        assert child.wait(120) != 0
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)


def test_a_project_that_was_ended_and_killed_equals_an_undisturbed_one(finished, tmp_path):
    config = changed(CONFIG, "pretrain.runs", {"slpd": {}})
    for key, value in {"rounds": 1, "epochs_per_round": 40, "schedule_epochs": 50, "optimiser.lr": 0.001}.items():
        config = changed(config, f"pretrain.defaults.{key}", value)
    whole, ended = (copy_project(finished, tmp_path / name) for name in ("whole", "ended"))
    for project in (whole, ended):
        write_config(project, config)
    result = snakemake(whole, "pretrain")
    assert result.returncode == 0, result.stdout[-3000:]
    for number in (signal.SIGTERM, signal.SIGKILL):
        _struck(ended, number)
        assert list((ended / "results/tiny/scratch/slpd_01").glob("[!.]*.safetensors"))
        assert snakemake(ended, "--unlock").returncode == 0
    result = snakemake(ended, "pretrain")
    assert result.returncode == 0, result.stdout[-3000:]
    run = Path("results/tiny/pretrain/slpd")
    assert "resuming after step" in (ended / "results/tiny/logs/pretrain/slpd/distill_01.log").read_text()
    for name in ("round_01/state.safetensors", "round_01/metrics.parquet", "model/model.safetensors"):
        assert content_of(ended / run / name) == content_of(whole / run / name) is not None
    assert not list(ended.rglob("*.partial")) and not list((ended / "results/tiny/scratch").iterdir())
