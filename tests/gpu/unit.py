"""Tests of the training code that have cases on a GPU. Of the tests' shared files none is loaded: they need slides."""

import logging
from pathlib import Path
from typing import Any

from tests.gpu.machine import ROOT
from tests.gpu.options import NotHere, Options

FILES = ("tests/unit/slpd/test_tokens.py", "tests/unit/slpd/test_on_gpu.py")


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
            self.failed.append(report.nodeid)

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self.count["failed"] += 1
            self.failed.append(report.nodeid)


def measure(options: Options) -> tuple[dict[str, Any], list[str]]:
    """How many tests passed, failed and were skipped, and the names of those that failed."""
    import pytest

    files = [file for file in FILES if (ROOT / Path(file)).is_file()]
    if not files:
        raise NotHere(f"none of {', '.join(FILES)} is here")
    counted = _Counted()
    status = pytest.main(["-q", "--noconftest", "-p", "no:cacheprovider", "--rootdir", str(ROOT), *files], [counted])
    logging.getLogger(__name__).info("pytest ended with %s", status)
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) and not counted.count["failed"]:
        raise RuntimeError(f"pytest ended with {status!r}")
    return {**counted.count}, [f"failed: {name}" for name in counted.failed]
