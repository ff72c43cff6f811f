"""The report on a screen of 1200 px: nothing runs out of the page, and no table must be scrolled to see its columns.

A browser measures it; where there is none the test is skipped.
"""

import re
import shutil

import pytest

from tests.browser import open_tab, usable
from tests.unit.report.results_folder import config_json
from workflow_scripts.core import schemas
from workflow_scripts.core.tables import read_table, write_table
from workflow_scripts.write_report import main

WIDTH = 1200
MEASURE = """(() => {
  const name = e => `${e.tagName} ${e.id} ${e.className} ${e.textContent.slice(0, 40)}`;
  return {
    page: document.documentElement.scrollWidth, tables: document.querySelectorAll("table").length,
    beyond: [...document.querySelectorAll(".scroll, pre")].filter(e => e.scrollWidth > e.clientWidth)
      .map(e => `${name(e)}: ${e.scrollWidth} px in ${e.clientWidth}`),
    wide: [...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().width > innerWidth).map(name),
  };
})()"""


def tcga(number: int) -> str:
    """A slide's name as TCGA gives it, 40 characters and more."""
    return f"TCGA-{number:02d}-4982-01Z-00-DX1.8C5A2F0E-41B7-{number:04d}-B"


def measured(folder, html: str) -> list[dict]:
    """What the browser measures of each tab in a window of `WIDTH` px."""
    page = folder / "measured.html"
    page.write_text(re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", html), encoding="utf-8")
    found = []
    with open_tab() as tab:
        tab.open(page.as_uri(), WIDTH, 900)
        for name in ("headline", "cohort", "slides", "prototypes", "training", "settings"):
            tab.run(f"location.hash = '#{name}'")
            tab.wait(f"document.getElementById('{name}').offsetParent !== null")
            found.append(tab.run(MEASURE))
        assert not tab.problems
    return found


@pytest.fixture
def browser(tmp_path):
    """Skips the test where no browser can measure a page."""
    if not usable(tmp_path):
        pytest.skip("no Chromium that opens files here")


@pytest.mark.parametrize("with_test_cohort", [False, True])
def test_with_long_names_and_a_test_cohort_the_report_fits_its_window(
    browser, results_folder, tmp_path, with_test_cohort
):
    root = shutil.copytree(results_folder, tmp_path / "demo", ignore=shutil.ignore_patterns("source", "*.html"))
    rows = read_table(root / "slides.parquet").to_pylist()
    assert len(tcga(0)) >= 40
    largest = {"width": 198_720, "height": 98_304, "mpp_source": "tiff_resolution", "vendor": "generic-tiff"}
    largest |= {"pen_fraction": 0.125, "blurred_fraction": 0.25}
    theirs = [
        row | largest | {"slide_id": tcga(50 + number), "patient_id": f"TCGA-{number:02d}-4982-01Z"}
        for number, row in enumerate(rows)
    ]
    write_table(root / "test_slides.parquet", theirs, schemas.SLIDES)
    options = ["--results", str(root), "--output", str(tmp_path / "report.html")]
    main(["--config", config_json(test_cohort=with_test_cohort), *options])
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert (tcga(50) in html) is with_test_cohort

    def long(text: re.Match) -> str:
        return re.sub(r"\bs(\d\d)\b", lambda name: tcga(int(name[1])), text[0])

    found = measured(tmp_path, re.sub(r">[^<]*<", long, html))  # in the text alone: pictures stay as they are
    for told in found:
        assert told["tables"] > 10 and told["page"] <= WIDTH
        assert told["wide"] == [] and told["beyond"] == []
