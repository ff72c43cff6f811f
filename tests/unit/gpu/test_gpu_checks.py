"""`python -m tests.gpu` at small sizes on the CPU; what its verdicts say at their limits; parts that fail."""

import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.gpu import machine
from tests.gpu.__main__ import PARTS, arguments, keep_figures, run_parts
from tests.gpu.child import Result, finite, run_part
from tests.gpu.goals import GOALS, NSCLC_REGIONS, Goal, judge, judge_all, verdict_table
from tests.gpu.machine import ROOT, missing
from tests.gpu.options import Options

# Hides packages of the workflow that a bare machine has not: no import finds them.
HIDING = """
import sys
from importlib.machinery import PathFinder

HIDDEN = {"anndata", "h5py", "hypothesis", "jinja2", "lifelines", "matplotlib", "pandas", "sklearn", "snakemake"}


class Others(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.split(".")[0] in HIDDEN else PathFinder.find_spec(name, path, target)


sys.meta_path = [Others if finder is PathFinder else finder for finder in sys.meta_path]
"""
SMALL = Options("cpu", True, "", (4,), 270)
GAUGED = Goal("a step, ms", "step", "ms", 45)


@pytest.mark.slow
def test_the_small_form_measures_every_part_on_a_bare_machine(tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "sitecustomize.py").write_text(HIDING)
    bare = os.environ | {"PYTHONPATH": str(tmp_path / "bare")}
    hidden = subprocess.run([sys.executable, "-c", "import pandas"], env=bare, capture_output=True, text=True)
    assert "No module named 'pandas'" in hidden.stderr
    file = tmp_path / "gpu.json"
    call = [sys.executable, "-m", "tests.gpu", "--small", "--device", "cpu", "--batch", "4", "--json", str(file)]
    done = subprocess.run([*call, "--folder", str(tmp_path)], cwd=ROOT, env=bare, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(file.read_text())
    assert {name: part["status"] for name, part in found["parts"].items()} == dict.fromkeys(PARTS, "done")
    assert found["machine"]["device"] == "cpu"
    assert found["machine"]["torch"] and found["machine"]["commit"] and found["machine"]["cores"] >= 1
    figures = {name: part["figures"] for name, part in found["parts"].items()}
    assert figures["unit"]["failed"] == 0 and figures["unit"]["passed"] >= 5
    assert 0 < figures["parity"]["float32"] < 1e-5 < figures["parity"]["bfloat16"] < 1e-2  # it is another arithmetic
    step = figures["step"]
    assert step["ms_4"] * step["regions_per_s_4"] == pytest.approx(4000)
    assert figures["cohort"]["regions"] == figures["loading"]["regions"] == 270
    assert figures["loading"]["gb"] == pytest.approx(270 * 4 * 4 * 16 * 2 / 1e9)
    rounds = figures["round"]
    others = rounds["cluster_regions_s"] + rounds["assign_neighbours_s"]
    assert rounds["beyond_s"] == pytest.approx(others + rounds["distill_round_beyond_s"])
    encoding = figures["encoding"]
    assert encoding["stage_share_vit_tiny"] == pytest.approx(encoding["stage_vit_tiny"] / encoding["alone_vit_tiny"])
    verdicts = {line["text"]: line["verdict"] for line in found["verdict"]}
    assert verdicts == {goal.text: "not measured" if goal.speed else "met" for goal in GOALS}
    assert "## Verdict" in done.stdout and "| not measured |" in done.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"bare", "gpu.json"}  # it was gigabytes at full size


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as end:
        arguments(list(words))
    assert end.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


def test_arguments_are_checked_before_anything_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--batch", "0"], ["--regions", "-3"], ["--limit", "0"], ["--limit=-5"], ["--limit", "nan"]):
        assert f"argument {words[0].split('=')[0]}: " in refused(capsys, *words)
    assert "unrecognized arguments: --smal" in refused(capsys, "--smal")
    missing = tmp_path / "none"
    assert f"argument --json: {missing} is no folder" in refused(capsys, "--json", str(missing / "gpu.json"))
    assert f"argument --json: {tmp_path} is a folder" in refused(capsys, "--json", str(tmp_path))
    assert f"argument --folder: {missing} is no folder" in refused(capsys, "--folder", str(missing))
    assert "leave out --regions" in refused(capsys, "--small", "--regions", "5")


def test_small_sizes_have_small_batches() -> None:
    assert arguments([]).batch == (512, 128) and arguments([]).regions == NSCLC_REGIONS
    assert arguments(["--small"]).batch == (8, 4) and arguments(["--small"]).regions == 270
    assert arguments(["--small", "--batch", "2"]).batch == (2,)


def test_full_sizes_without_a_gpu_end_in_a_sentence() -> None:
    bare = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    end = subprocess.run([sys.executable, "-m", "tests.gpu"], cwd=ROOT, env=bare, capture_output=True, text=True)
    assert end.returncode == 1
    assert end.stderr.splitlines()[-1].startswith("torch sees no GPU here; python -m tests.gpu --small --device cpu")


def test_figures_are_kept_whole_after_each_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A machine that is cut off costs the parts that have not ended."""
    file, seen = tmp_path / "gpu.json", []

    def keep(results: dict[str, Result]) -> None:
        keep_figures(file, {}, SMALL, results)
        seen.append(list(json.loads(file.read_text())["parts"]))

    nowhere = SMALL._replace(folder="/proc/no/such/folder")
    run_parts(["cohort", "loading"], nowhere, 60.0, tmp_path, keep)
    assert seen == [["cohort"], ["cohort", "loading"]]
    assert "[1/2] cohort, " in capsys.readouterr().out
    assert not list(tmp_path.glob("gpu.json.*"))


@pytest.mark.parametrize(
    ("kind", "found", "verdict"),
    [
        ("at most", 45, "met"),
        ("at most", math.nextafter(45, 46), "missed"),
        ("at most", -1.0, "met"),
        ("at least", 45.0, "met"),
        ("at least", math.nextafter(45, 44), "missed"),
        ("below", 45, "missed"),
        ("below", math.nextafter(45, 44), "met"),
        *[(kind, value, "not measured") for kind in ("at most", "at least", "below")
          for value in (None, float("nan"), float("inf"), -float("inf"), "45")],
    ],
)  # fmt: skip
def test_a_verdict_at_its_limit(kind: str, found: object, verdict: str) -> None:
    assert judge(GAUGED._replace(kind=kind), found, True, NSCLC_REGIONS).verdict == verdict


def test_figures_of_another_size_or_machine_are_no_verdict_on_speed() -> None:
    assert judge(GAUGED, 1.0, False, NSCLC_REGIONS).verdict == "not measured"
    assert judge(GAUGED, 1.0, True, 270).verdict == "met"
    assert judge(GAUGED._replace(cohort=True), 1.0, True, NSCLC_REGIONS - 1).verdict == "not measured"
    assert judge(GAUGED._replace(cohort=True), 1.0, True, NSCLC_REGIONS).verdict == "met"
    right = GAUGED._replace(speed=False)
    assert [judge(right, found, False, 270).verdict for found in (45, 46)] == ["met", "missed"]


def test_every_goal_is_told_whatever_was_measured() -> None:
    nothing = judge_all({}, True, NSCLC_REGIONS)
    assert [verdict.verdict for verdict in nothing] == ["not measured"] * len(GOALS)
    best: dict[str, dict[str, float]] = {}
    for goal in GOALS:
        best.setdefault(goal.part, {})[goal.figure] = {"at least": 1e9}.get(goal.kind, 0.0)
    assert {verdict.verdict for verdict in judge_all(best, True, NSCLC_REGIONS)} == {"met"}
    assert {goal.part for goal in GOALS} <= set(PARTS)
    assert len(verdict_table(nothing)) == len(GOALS) + 2


def part(folder: Path, name: str, body: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module with a part whose `measure` does this; its name."""
    lines = "\n    ".join(["def measure(options):", *body.splitlines()])
    (folder / f"{name}.py").write_text(f"import os, subprocess, time\nfrom tests.gpu.options import NotHere\n{lines}\n")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return name


def test_a_part_gives_figures_and_notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = "assert options.batches == (4,) and options.small\nyield {'a': 1.5, 'b': float('nan')}, ['one']\n"
    body += "yield {'c': 'x'}, []"
    found = run_part(part(tmp_path, "fine", body, monkeypatch), SMALL, 60, tmp_path)
    assert (found.status, found.figures, found.notes) == ("done", {"a": 1.5, "b": None, "c": "x"}, ["one"])


def test_a_part_that_cannot_be_measured_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = run_part(part(tmp_path, "not_here", "raise NotHere('no slides')", monkeypatch), SMALL, 60, tmp_path)
    assert (found.status, found.figures, found.told) == ("not measured", {}, "no slides")


@pytest.mark.parametrize(
    ("body", "told"),
    [("print('so far')\nraise ValueError('broken')", "ValueError: broken"), ("os.kill(os.getpid(), 11)", "status -11")],
)
def test_a_part_that_dies_costs_itself(body: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = run_part(part(tmp_path, "dies", body, monkeypatch), SMALL, 60, tmp_path)
    assert (found.status, found.figures) == ("died", {})
    assert told in found.told


def test_figures_of_before_are_not_taken_for_those_of_a_part_that_dies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_part(part(tmp_path, "twice", "yield {'a': 1}, []", monkeypatch), SMALL, 60, tmp_path).status == "done"
    assert run_part(part(tmp_path, "twice", "os._exit(0)", monkeypatch), SMALL, 60, tmp_path).status == "died"


def test_a_part_that_outruns_its_limit_ends_with_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = "child = subprocess.Popen(['sleep', '600'])\nprint(f'child {child.pid}.', flush=True)\n"
    body += "yield {'a': 1}, ['so far']\ntime.sleep(600)"
    name = part(tmp_path, "hangs", body, monkeypatch)
    found = run_part(name, SMALL, 5, tmp_path)
    assert found.status == "gave up" and "more than its 5 s" in found.told
    assert (found.figures, found.notes) == ({"a": 1}, ["so far"])
    child = int((tmp_path / "hangs.txt").read_text().split("child ")[1].split(".")[0])
    for _ in range(100):  # whoever takes in orphans takes a moment
        if not Path(f"/proc/{child}").exists() or Path(f"/proc/{child}/stat").read_text().split()[2] == "Z":
            return
        time.sleep(0.1)
    os.kill(child, 9)
    pytest.fail("what the part had started lives on")


def test_parts_without_time_left_or_without_their_cohort_are_not_measured(tmp_path: Path) -> None:
    found = run_parts(["unit", "loading", "cohort"], SMALL, 0.0, tmp_path)
    assert {(part.status, part.told) for part in found.values()} == {("not measured", "no time was left")}
    nowhere = SMALL._replace(folder="/proc/no/such/folder")  # so no features can be written
    found = run_parts(["loading", "cohort", "round"], nowhere, 60.0, tmp_path)
    assert {name: part.status for name, part in found.items()} == {
        "cohort": "died", "loading": "not measured", "round": "not measured",
    }  # fmt: skip
    assert found["round"].told == "there is no cohort"


def test_a_tree_without_git_has_an_unknown_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "ROOT", tmp_path)
    assert machine.commit() == "unknown"


def test_missing_packages_are_told_by_the_names_they_are_installed_by() -> None:
    assert missing(("json", "no_such_module", "torch")) == ["no_such_module"]


def test_numbers_that_json_has_not_are_left_out() -> None:
    assert finite({"a": float("inf"), "b": 2, "c": "nan"}) == {"a": None, "b": 2, "c": "nan"}


def test_outcomes_of_tests_are_counted(tmp_path: Path) -> None:
    (tmp_path / "test_made_up.py").write_text(
        "import pytest\n"
        "@pytest.fixture\ndef broken():\n    raise ValueError\n"
        "def test_good(): pass\ndef test_other(): pass\ndef test_bad(): assert False\n"
        "def test_broken(broken): pass\ndef test_skipped(): pytest.skip('x')\n"
    )
    (tmp_path / "test_unreadable.py").write_text("import no_such_module\n")
    code = (
        "import json, sys; from tests.gpu.unit import run_tests; print(); print(json.dumps(run_tests(*sys.argv[1:])))"
    )
    call = [sys.executable, "-c", code, *map(str, sorted(tmp_path.glob("*.py"))), "--continue-on-collection-errors"]
    done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=True)
    figures, failed = json.loads(done.stdout.splitlines()[-1])
    assert figures == {"passed": 2, "failed": 3, "skipped": 1}
    told = " ".join(failed)
    assert len(failed) == 3
    assert "::test_bad" in told and "::test_broken" in told and "No module named 'no_such_module'" in told
