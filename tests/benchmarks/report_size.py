"""Size of the report of many slides, and how long a browser takes to open it and to work in it.

    python -m tests.benchmarks.report_size [--slides 1000] [--folder FOLDER]

The cohort is made up: slides of 65,536 x 49,152 px with some hundred regions, overlays of 1,000 px with the grain of
stained tissue; two dozen have attention of the encoder, all but one that of a head, and there are no slides to read
regions of groups from. Times are of headless Chromium on a page that the disk's cache holds: until it is loaded and
drawn, until a word is filtered by, the table is sorted, a slide's page is open, and the map of slides and the groups
are drawn.
"""

import argparse
import tempfile
import time
from pathlib import Path

from tests.browser import open_tab
from tests.unit.report.atlas_tables import add_atlas
from tests.unit.report.many_slides import make_many
from tests.unit.report.results_folder import config_json, make_results
from workflow_scripts.write_report import main as write_report

_STEPS = {
    "filter": """(() => { const box = document.getElementById("slide-filter"); box.value = "0123";
        box.dispatchEvent(new Event("input")); })()""",
    "sort": """(() => { document.getElementById("clear-filters").click();
        document.querySelector('#slide-table th[data-column="4"] button').click(); })()""",
    "slide": "location.hash = '#slide/TCGA-0005-01Z-00-DX1'",
    "gallery": "location.hash = '#slides'",
    "map": "location.hash = '#map'",
    "groups": "location.hash = '#atlas'",
}


def measure(page: Path) -> None:
    """Print times of opening the page and of some steps in it, in seconds."""
    with open_tab() as tab:
        for attempt in range(3):
            tab.call("Page.navigate", url="about:blank")
            print(f"open, {attempt + 1}: {tab.open(page.as_uri()):.2f} s")
        drawn = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))"
        for name, script in _STEPS.items():
            begin = time.monotonic()
            tab.run(script)
            tab.run(drawn)
            print(f"{name}: {time.monotonic() - begin:.2f} s")
        print("problems:", tab.problems)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slides", type=int, default=1000)
    parser.add_argument("--folder", type=Path, help="where the cohort and its report are left; else they are removed")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as spare:
        root = (args.folder or Path(spare)) / "many"
        make_results(root)
        names = make_many(root, args.slides)
        add_atlas(root, names[:24])
        begin = time.monotonic()
        options = ["--config", config_json(), "--results", str(root), "--output", str(root / "report.html")]
        write_report([*options, "--manifest", str(root / "slides.csv")])
        size = (root / "report.html").stat().st_size
        beside = sum(file.stat().st_size for file in (root / "report_files").rglob("*.jpg"))
        print(f"{args.slides} slides: written in {time.monotonic() - begin:.0f} s")
        print(f"report.html {size / 1e6:.1f} MB, report_files/ {beside / 1e6:.1f} MB")
        measure(root / "report.html")


if __name__ == "__main__":
    main()
