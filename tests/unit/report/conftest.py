"""The report of the small results folder, opened in headless Chromium; skipped where no browser opens files."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import Tab, open_tab, usable
from tests.unit.report.results_folder import config_json
from workflow_scripts.write_report import main


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    """A browser's tab."""
    if not usable(tmp_path_factory.mktemp("usable")):
        pytest.skip("no Chromium that opens files here")
    with open_tab() as opened:
        yield opened


@pytest.fixture(scope="session")
def report(results_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Address of the report of the small folder."""
    page = tmp_path_factory.mktemp("report") / "report.html"
    options = ["--config", config_json(), "--results", str(results_folder), "--output", str(page)]
    main([*options, "--manifest", str(results_folder / "slides.csv")])
    return page.as_uri()


@pytest.fixture
def page(tab: Tab, report: str) -> Iterator[Tab]:
    """The tab with the report just opened; what a test leaves behind must be without an error or a request."""
    tab.problems.clear()
    tab.requests.clear()
    tab.call("Page.navigate", url="about:blank")
    tab.open(report)
    yield tab
    assert tab.problems == []
    assert {address.partition("#")[0] for address in tab.requests} == {report}
