"""The report in headless Chromium: every tab, filter, button and download, without an error or a request."""

import csv
import io
import time
from xml.etree import ElementTree

import pytest

from tests.unit.report.atlas_tables import SITES
from tests.unit.report.page import COUNT, ROWS, TABS, VISIBLE
from tests.unit.report.results_folder import EXCLUDED
from workflow_scripts.core.tables import read_table


def test_each_tab_is_shown_alone_and_named(page):
    assert page.run(f"{VISIBLE}.length") == 1
    for number, name in enumerate(TABS):
        page.click(f'nav a[href="#{name}"]')
        page.wait(f"location.hash === '#{name}' && {VISIBLE}[0].contains(document.getElementById('{name}'))")
        current = page.run("[...document.querySelectorAll('nav a')].map(a => a.getAttribute('aria-current'))")
        assert current == [("page" if number == place else None) for place in range(len(TABS))]
        assert page.run(f"{VISIBLE}.length") == 1


@pytest.mark.parametrize(
    ("address", "tab_of"),
    [("caveats", "settings"), ("curves", "headline"), ("map", "cohort"), ("nowhere", "headline"), ("%E0", "headline")],
)
def test_an_address_leads_to_its_tab(page, address, tab_of):
    page.go(address)
    assert page.run(f"{VISIBLE}[0].contains(document.getElementById('{tab_of}'))")


def test_tabs_are_walked_through_with_the_keyboard(page):
    page.run("document.querySelector('nav a').focus()")
    for name in (*TABS[1:], TABS[0]):
        page.key("ArrowRight", 39)
        page.wait(f"location.hash === '#{name}'")
    page.key("ArrowLeft", 37)
    page.wait("location.hash === '#settings'")
    assert page.run("document.activeElement.getAttribute('href')") == "#settings"


def test_short_words_of_the_table_of_slides_are_not_broken(page):
    page.go("cohort")
    lines = """[...document.querySelectorAll('#slide-table td.whole')].flatMap(cell => [...cell.childNodes]
      .filter(node => node.nodeType === Node.TEXT_NODE && !/[\\s-]/.test(node.data)).map(node => {
        const range = document.createRange();
        range.selectNodeContents(node);
        return range.getClientRects().length;
      }))"""
    found = page.run(lines)
    assert len(found) > 50 and set(found) == {1}


def test_slides_are_found_chosen_and_sorted(page, results_folder):
    slides = {row["slide_id"]: row for row in read_table(results_folder / "slides.parquet").to_pylist()}
    page.go("cohort")
    assert page.run(f"{ROWS}.length") == len(slides)
    page.choose("#slide-filter", "P1 s1")  # words in any order and case
    assert sorted(page.run(ROWS)) == [s for s in slides if "s1" in s and "p1" in slides[s]["patient_id"]]
    page.click("#clear-filters")
    page.choose("select[data-key=status]", "excluded", "change")
    assert sorted(page.run(ROWS)) == sorted(EXCLUDED) and page.run(COUNT) == "4 of 24 slides"
    page.choose("select[data-key=reason]", "no_mpp", "change")
    assert page.run(ROWS) == ["s20"]
    page.click("#clear-filters")
    column = page.run("report.place.tissue_mm2")
    header = f'#slide-table th[data-column="{column}"]'
    known = sorted((s for s in slides if slides[s]["tissue_mm2"]), key=lambda s: slides[s]["tissue_mm2"])
    for order, told in ((known, "ascending"), (known[::-1], "descending")):
        page.click(f"{header} button")
        assert page.run(ROWS)[: len(known)] == order  # those without a value stay below
        assert page.run(f"document.querySelector('{header}').getAttribute('aria-sort')") == told


def downloaded(folder, count):
    """Files that have come whole, by name."""
    for _ in range(600):
        found = [path for path in folder.iterdir() if path.suffix != ".crdownload"]
        if len(found) >= count and not list(folder.glob("*.crdownload")):
            return {path.name: path.read_bytes() for path in found}
        time.sleep(0.05)
    raise AssertionError(f"{len(found)} of {count} files came")


def test_the_table_is_downloaded_as_it_is_filtered(page, tmp_path):
    page.downloads_to(tmp_path / "files")
    page.go("cohort")
    page.choose("select[data-key=status]", "excluded", "change")
    page.click("#slides-csv")
    page.click("#slides-tex")
    files = downloaded(tmp_path / "files", 2)
    rows = list(csv.DictReader(io.StringIO(files["demo-slides.csv"].decode())))
    assert {(row["Slide"], row["Reason"], row["Detail"]) for row in rows} == {(s, *why) for s, why in EXCLUDED.items()}
    latex = files["demo-slides.tex"].decode()
    assert latex.count("\\\\\n") == 1 + len(EXCLUDED) and "31 \\% of the patches" in latex


def test_every_figure_and_table_can_be_downloaded(page, report, tmp_path):
    page.downloads_to(tmp_path / "files")
    page.go("map")
    offered = page.run(
        "[...document.querySelectorAll('main .take button:not(.large)')].map(one => one.className || one.id)"
    )
    figures = page.run("document.querySelectorAll('figure.plot img').length")
    tables = page.run("document.querySelectorAll('main table:not(#slide-table)').length")
    assert offered.count("pdf") == figures > 8 and offered.count("csv") == offered.count("tex") == tables > 20
    assert offered.count("svg") == figures + page.run("document.querySelectorAll('.maps figure').length") + 1  # the map
    for number in range(len(offered)):
        if number % 9 == 8:  # more in a row the browser takes for a page that floods its reader
            downloaded(tmp_path / "files", number)
            page.call("Page.navigate", url="about:blank")
            page.open(f"{report}#map")
        page.run(f"document.querySelectorAll('main .take button:not(.large)')[{number}].click()")
    files = downloaded(tmp_path / "files", len(offered))
    for name, content in files.items():
        if name.endswith(".svg"):
            root = ElementTree.fromstring(content)
            assert root.tag == "{http://www.w3.org/2000/svg}svg" and len(list(root.iter())) > 1
        elif name.endswith(".pdf"):
            assert content.startswith(b"%PDF") and content.rstrip().endswith(b"%%EOF")
        elif name.endswith(".csv"):
            lines = list(csv.reader(io.StringIO(content.decode())))
            assert len({len(line) for line in lines}) == 1 or b"not compared" in content
        else:
            assert name.endswith(".tex") and "\\toprule" in content.decode()
    results = files["demo-subtype-classification-results.csv"]
    told = list(csv.reader(io.StringIO(results.decode())))
    assert told[0] == ["Representation", "Trainings", "logistic *", "abmil"] and [line[0] for line in told[1:]][:2] == [
        "mean",
        "colour",
    ]


def test_slides_are_coloured_and_chosen_by_a_column_of_the_manifest(page):
    page.go("cohort")
    page.choose("select[data-key='manifest.site']", SITES[1], "change")  # with two spaces
    assert page.run(COUNT) == "8 of 24 slides"
    page.go("map")
    page.choose("#map-by", str(page.run("report.place['manifest.site']")), "change")
    legend = page.run(
        "[...document.querySelectorAll('#map-view svg > text:not([text-anchor])')].map(one => one.textContent)"
    )
    assert legend == ["north (7)", "south  side (7)", "west (6)"]  # of the 20 slides on the map


def test_the_gallery_has_every_slide_and_finds_some(page):
    page.go("slides")
    figures = "document.querySelectorAll('#gallery-slides figure').length"
    assert page.run(figures) == 24
    page.choose("#gallery-filter", "s05")
    assert page.run(figures) == 1
    page.click("#gallery-slides a")
    page.wait("!document.getElementById('slide-page').hidden && location.hash === '#slide/s05'")


def test_the_map_tells_the_slide_below_the_pointer(page):
    page.go("map")
    marks = "document.querySelectorAll('#map-view [data-row]').length"
    assert page.run(marks) == 20
    colours = (
        "new Set([...document.querySelectorAll('#map-view [data-row]')].map(one => one.getAttribute('fill'))).size"
    )
    page.choose("#map-by", str(page.run("report.place.tissue_mm2")), "change")
    assert page.run(colours) > 5
    page.run(
        "document.querySelector('#map-view [data-row]').dispatchEvent(new MouseEvent('mouseover', {bubbles: true}))"
    )
    told = page.run("document.getElementById('map-caption').textContent")
    row = page.run("document.querySelector('#map-view [data-row]').dataset.row")
    assert told.startswith(page.run(f"report.rows[{row}][0]") + ", Tissue")
    page.run("document.querySelector('#map-view [data-row]').dispatchEvent(new MouseEvent('click', {bubbles: true}))")
    page.wait("location.hash.startsWith('#slide/')")


def test_a_figure_is_enlarged_and_closed(page):
    page.click("button.large")
    assert page.run("document.getElementById('enlarged').open")
    page.click("#enlarged button")
    assert not page.run("document.getElementById('enlarged').open")
