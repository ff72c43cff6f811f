"""Tests of the training code that have cases on a GPU. Of the tests' shared files none is loaded: they need slides."""

from collections.abc import Iterator
from typing import Any

from tests.gpu.machine import ROOT
from tests.gpu.options import Measured, Options

_ASKED = "torch.cuda.is_available()"
_SAID = 200  # characters


class _Counted:
    """A plugin of pytest that counts what came of the tests."""

    def __init__(self) -> None:
        self.count = {"passed": 0, "failed": 0, "skipped": 0}
        self.failed: list[str] = []

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.outcome == "passed" and report.when != "call":
            return  # of a test's set-up
        self.count[report.outcome] += 1
        if report.failed:
            self._note(report)

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self.count["failed"] += 1
            self._note(report)

    def _note(self, report: Any) -> None:
        """Which test, and how what it said ended: the machine may be gone when the note is read."""
        self.failed.append(f"{report.nodeid} {' '.join(report.longreprtext.split())[-_SAID:]}")


def run_tests(*words: str) -> Measured:
    """How many tests passed, failed and were skipped, and which failed.

    Args:
        words: files, and further words of pytest's command line.

    Raises:
        RuntimeError: pytest has not run any tests.
    """
    import pytest

    counted = _Counted()
    status = pytest.main(["-v", "--noconftest", "-p", "no:cacheprovider", "--rootdir", str(ROOT), *words], [counted])
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) and not counted.failed:
        raise RuntimeError(f"pytest has run no tests: {status!r}")
    return {**counted.count}, [f"failed: {name}" for name in counted.failed]


def files_with_gpu_cases() -> list[str]:
    """Files of unit tests that look whether there is a GPU, quick ones first: those that compile come last."""
    own = ROOT / "tests/unit/gpu"
    files = [file for file in sorted((ROOT / "tests/unit").rglob("test_*.py")) if own not in file.parents]
    found = [str(file.relative_to(ROOT)) for file in files if _ASKED in file.read_text(encoding="utf-8")]
    return sorted(found, key=lambda name: ("on_gpu" in name, name))


def measure(options: Options) -> Iterator[Measured]:
    """Counts of the tests' outcomes so far; at small sizes of a few tests, for the others are run anyway."""
    total = {"passed": 0, "failed": 0, "skipped": 0}
    if options.small:
        yield run_tests("tests/unit/slpd/test_tokens.py", "-k", "bits_that_were_written or named_with_its_number")
        return
    for file in files_with_gpu_cases():
        found, failed = run_tests(file)
        total = {name: count + found[name] for name, count in total.items()}
        yield dict(total), failed
