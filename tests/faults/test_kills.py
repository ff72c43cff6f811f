"""A whole workflow that is struck twenty times on its way and resumed each time gives what an undisturbed one gives."""

import shutil
from pathlib import Path

import pytest

from tests.benchmarks.kills import undisturbed_run
from tests.faults.disturbed_runs import KINDS, Report, disturb, own_disk, unlike

KILLS, SEED = 20, 3


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, float]:
    return undisturbed_run(tmp_path_factory.mktemp("kills"), slides=4)


@pytest.fixture(scope="module")
def report(runs: tuple[Path, Path, float], tmp_path_factory: pytest.TempPathFactory) -> Report:
    made, whole, _ = runs
    with own_disk(tmp_path_factory.mktemp("struck") / "disk") as disk:
        return disturb(shutil.copytree(made, disk.folder / "tiny"), whole, KILLS, SEED, disk)


def test_nothing_differs_and_all_that_was_told_was_right(report: Report) -> None:
    assert report.wrong == []


def test_the_disturbances_struck_many_rules(report: Report, capsys: pytest.CaptureFixture) -> None:
    with capsys.disabled():
        print(f"\n{dict(report.struck)} struck, at work: {dict(report.rules)}")
    assert report.struck.total() >= 14 and set(report.struck) == set(KINDS)
    assert len(report.rules) >= 4


def test_a_difference_would_be_seen(runs: tuple[Path, Path, float], tmp_path: Path) -> None:
    _, whole, _ = runs
    results = shutil.copytree(whole / "results/tiny", tmp_path / "tiny")
    assert unlike(whole / "results/tiny", results) == []
    table = results / "benchmark/results.csv"
    table.write_text(table.read_text() + "more\n")
    (results / "slides.parquet").unlink()
    (results / "check/.a.parquet.12.partial").touch()
    wrong = unlike(whole / "results/tiny", results)
    assert [line for line in wrong if line.startswith("benchmark/results.csv: other bytes")]
    assert [line for line in wrong if line.startswith("check/.a.parquet.12.partial: only in one")]
    assert [line for line in wrong if line.startswith("slides.parquet: only in one")]
