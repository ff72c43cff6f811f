"""The report in headless Chromium: every tab, filter, button and download, without an error or a request.

Where no browser opens files the tests are skipped.
"""

import csv
import io
import shutil
import time
from xml.etree import ElementTree

import numpy as np
import pyarrow.compute as pc
import pytest

from tests.browser import open_tab, usable
from tests.unit.report.atlas_tables import GROUP_OF, SITES, WITH_ATTENTION
from tests.unit.report.many_slides import make_many
from tests.unit.report.results_folder import EXCLUDED, config_json
from workflow_scripts.core.colours import group_colour, group_name
from workflow_scripts.core.tables import read_table
from workflow_scripts.report import shown_slides
from workflow_scripts.report.region_room import REGION
from workflow_scripts.write_report import main

TABS = ("headline", "cohort", "slides", "prototypes", "training", "settings")
VISIBLE = "[...document.querySelectorAll('.tab')].filter(tab => tab.offsetParent !== null)"
ROWS = "[...document.querySelectorAll('#slide-table tbody tr')].map(row => row.cells[0].textContent)"
COUNT = "document.getElementById('slide-count').textContent"


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    """A browser's tab."""
    if not usable(tmp_path_factory.mktemp("usable")):
        pytest.skip("no Chromium that opens files here")
    with open_tab() as opened:
        yield opened


@pytest.fixture(scope="module")
def report(results_folder, tmp_path_factory):
    """Address of the report of the small folder."""
    page = tmp_path_factory.mktemp("report") / "report.html"
    options = ["--config", config_json(), "--results", str(results_folder), "--output", str(page)]
    main([*options, "--manifest", str(results_folder / "slides.csv")])
    return page.as_uri()


@pytest.fixture
def page(tab, report):
    """The tab with the report just opened; what a test leaves behind must be without an error or a request."""
    tab.problems.clear()
    tab.requests.clear()
    tab.call("Page.navigate", url="about:blank")
    tab.open(report)
    yield tab
    assert tab.problems == []
    assert {address.partition("#")[0] for address in tab.requests} == {report}


def go(tab, name):
    """Follow an address within the page."""
    tab.run(f"location.hash = '#{name}'")
    tab.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))")


def choose(tab, box, value, event="input"):
    """Set a control's value as a reader does."""
    box = f"document.querySelector({box!r})"
    tab.run(f"({box}.value = {value!r}, {box}.dispatchEvent(new Event({event!r})), null)")


def click(tab, box):
    tab.run(f"document.querySelector({box!r}).click()")


def test_short_words_of_the_table_of_slides_are_not_broken(page):
    go(page, "cohort")
    lines = """[...document.querySelectorAll('#slide-table td.whole')].flatMap(cell => [...cell.childNodes]
      .filter(node => node.nodeType === Node.TEXT_NODE && !/[\\s-]/.test(node.data)).map(node => {
        const range = document.createRange();
        range.selectNodeContents(node);
        return range.getClientRects().length;
      }))"""
    found = page.run(lines)
    assert len(found) > 50 and set(found) == {1}


def test_each_tab_is_shown_alone_and_named(page):
    assert page.run(f"{VISIBLE}.length") == 1
    for number, name in enumerate(TABS):
        click(page, f'nav a[href="#{name}"]')
        page.wait(f"location.hash === '#{name}' && {VISIBLE}[0].contains(document.getElementById('{name}'))")
        current = page.run("[...document.querySelectorAll('nav a')].map(a => a.getAttribute('aria-current'))")
        assert current == [("page" if number == place else None) for place in range(len(TABS))]
        assert page.run(f"{VISIBLE}.length") == 1


@pytest.mark.parametrize(
    ("address", "tab_of"),
    [("caveats", "settings"), ("curves", "headline"), ("map", "cohort"), ("nowhere", "headline"), ("%E0", "headline")],
)
def test_an_address_leads_to_its_tab(page, address, tab_of):
    go(page, address)
    assert page.run(f"{VISIBLE}[0].contains(document.getElementById('{tab_of}'))")


def test_tabs_are_walked_through_with_the_keyboard(page):
    page.run("document.querySelector('nav a').focus()")
    for name in (*TABS[1:], TABS[0]):
        page.key("ArrowRight", 39)
        page.wait(f"location.hash === '#{name}'")
    page.key("ArrowLeft", 37)
    page.wait("location.hash === '#settings'")
    assert page.run("document.activeElement.getAttribute('href')") == "#settings"


def test_slides_are_found_chosen_and_sorted(page, results_folder):
    slides = {row["slide_id"]: row for row in read_table(results_folder / "slides.parquet").to_pylist()}
    go(page, "cohort")
    assert page.run(f"{ROWS}.length") == len(slides)
    choose(page, "#slide-filter", "P1 s1")  # words in any order and case
    assert sorted(page.run(ROWS)) == [s for s in slides if "s1" in s and "p1" in slides[s]["patient_id"]]
    click(page, "#clear-filters")
    choose(page, "select[data-key=status]", "excluded", "change")
    assert sorted(page.run(ROWS)) == sorted(EXCLUDED) and page.run(COUNT) == "4 of 24 slides"
    choose(page, "select[data-key=reason]", "no_mpp", "change")
    assert page.run(ROWS) == ["s20"]
    click(page, "#clear-filters")
    column = page.run("report.place.tissue_mm2")
    header = f'#slide-table th[data-column="{column}"]'
    known = sorted((s for s in slides if slides[s]["tissue_mm2"]), key=lambda s: slides[s]["tissue_mm2"])
    for order, told in ((known, "ascending"), (known[::-1], "descending")):
        click(page, f"{header} button")
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
    go(page, "cohort")
    choose(page, "select[data-key=status]", "excluded", "change")
    click(page, "#slides-csv")
    click(page, "#slides-tex")
    files = downloaded(tmp_path / "files", 2)
    rows = list(csv.DictReader(io.StringIO(files["demo-slides.csv"].decode())))
    assert {(row["Slide"], row["Reason"], row["Detail"]) for row in rows} == {(s, *why) for s, why in EXCLUDED.items()}
    latex = files["demo-slides.tex"].decode()
    assert latex.count("\\\\\n") == 1 + len(EXCLUDED) and "31 \\% of the patches" in latex


def test_every_figure_and_table_can_be_downloaded(page, report, tmp_path):
    page.downloads_to(tmp_path / "files")
    go(page, "map")
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
    assert told[0] == ["Representation", "logistic *", "abmil"] and [line[0] for line in told[1:]][:2] == [
        "mean",
        "colour",
    ]


def test_a_slide_has_its_regions_zoom_and_opacity(page, results_folder):
    go(page, "slide/s01")
    regions = "#viewer-own svg rect"
    count = len(read_table(results_folder / "regions/s01.parquet"))
    assert page.run(f"document.querySelectorAll('{regions}').length") == count
    assert page.run("document.getElementById('slide-name').textContent") == "s01"
    colours = f"new Set([...document.querySelectorAll('{regions}')].map(one => one.getAttribute('fill'))).size"
    assert page.run(colours) == 4
    choose(page, "#opacity", "20")
    group = "document.querySelector('#viewer-own svg g')"
    assert page.run(f"{group}.getAttribute('fill-opacity')") == "0.2"
    choose(page, "#layer", "similarity", "change")
    assert page.run(colours) > 2 and page.run(f"{group}.querySelectorAll('text').length") == 0
    values = pc.drop_null(read_table(results_folder / "pretrain/slpd/round_04/assignments.parquet")["similarity"])
    low, top = np.percentile(values.to_numpy().astype(float), [1, 100])
    legend = page.run("document.getElementById('layer-legend').textContent")
    assert f"{low:.3f} or less{top:.3f}" in legend and "1st percentile" in legend
    own = page.run("report.page('s01').layers.similarity")
    shares = page.run("report.data.shares")
    places = [min(len(shares) - 1, max(0, int((value - low) / (top - low) * len(shares)))) for value in own]
    drawn = page.run(f"[...document.querySelectorAll('{regions}')].map(one => one.getAttribute('fill'))")
    assert drawn == [shares[place] for place in places]
    choose(page, "#layer", "", "change")
    assert page.run(f"document.querySelectorAll('{regions}').length") == 0
    box = "document.querySelector('#viewer-own svg').getAttribute('viewBox').split(' ').map(Number)"
    whole = page.run(box)
    click(page, '#viewer-own button[aria-label="Zoom in"]')
    assert page.run(box)[2] == pytest.approx(0.6 * whole[2], rel=1e-3)
    page.run("document.querySelector('#viewer-own .frame').focus()")
    page.key("ArrowRight", 39)
    assert page.run(box)[0] > 0.2 * whole[2]
    page.key("+", 187, "+")
    assert page.run(box)[2] == pytest.approx(0.36 * whole[2], rel=1e-3)
    page.key("0", 48, "0")
    assert page.run(box) == whole
    click(page, "#tissue")
    assert page.run("getComputedStyle(document.querySelector('#viewer-own path.outline')).display") == "inline"


def test_the_nearest_slide_stands_beside_in_the_colours_of_the_match(page, results_folder):
    go(page, "slide/s01")
    folder = results_folder / "pretrain/slpd/round_04"
    (near,) = [r for r in read_table(folder / "neighbours.parquet").to_pylist() if r["slide_id"] == "s01"]
    assert near["neighbour_id"] in page.run("document.querySelector('#viewer-near figcaption').textContent")

    def colours(viewer):
        found = page.run(f"""[...document.querySelectorAll('{viewer} svg g g')].map(one =>
            [one.querySelector('text').textContent, one.querySelector('rect').getAttribute('fill')])""")
        return {int(number): colour for number, colour in found}

    own, theirs = colours("#viewer-own"), colours("#viewer-near")
    assert {match: own[prototype] for prototype, match in enumerate(near["matching"])} == theirs
    click(page, "#viewer-near figcaption a")
    page.wait(f"document.getElementById('slide-name').textContent === '{near['neighbour_id']}'")
    click(page, "#slide-before")
    page.wait("document.getElementById('slide-name').textContent === 's01'")


def rgb(colour):
    return "rgb({}, {}, {})".format(*bytes.fromhex(colour.removeprefix("#")))


def test_groups_have_one_name_and_colour_in_the_atlas_and_on_every_page(page, results_folder):
    go(page, "prototypes")
    swatch = "getComputedStyle(one.querySelector('.swatch')).backgroundColor"
    blocks = page.run(
        f"[...document.querySelectorAll('.group')].map(one => [one.querySelector('h4').textContent, {swatch}])"
    )
    assert blocks == [[group_name(number), rgb(group_colour(number))] for number in range(3)]
    pictures = "[...document.querySelectorAll('.group img')].map(one => (one.loading = 'eager', one.decode()))"
    assert page.run(f"Promise.all({pictures}).then(all => all.length)") == 3 * 8
    go(page, "slide/s01")
    choose(page, "#layer", "group", "change")
    told = page.run("""[...document.querySelectorAll('#viewer-own svg g g')].map(one =>
        [one.querySelector('title').textContent, one.querySelector('rect').getAttribute('fill')])""")
    assigned = read_table(results_folder / "pretrain/slpd/round_04/assignments.parquet").to_pylist()
    groups = [GROUP_OF[row["prototype"]] for row in assigned if row["slide_id"] == "s01"]
    assert len(told) == len(groups) and [fill for _, fill in told] == [group_colour(group) for group in groups]
    assert all(f": {group_name(group)}," in text for (text, _), group in zip(told, groups, strict=True))
    legend = f"[...document.querySelectorAll('#layer-legend span')].map(one => [one.textContent, {swatch}])"
    assert page.run(legend) == [
        [f"{group_name(group)} ({groups.count(group)})", rgb(group_colour(group))] for group in sorted(set(groups))
    ]
    click(page, "#slide-prototypes td a")
    page.wait(f"location.hash === '#group-{GROUP_OF[0]}' && {VISIBLE}[0].id === 'prototypes'")


def test_attention_is_laid_over_the_slides_that_have_it(page):
    shown, other = WITH_ATTENTION[0], "s02"
    go(page, f"slide/{shown}")
    choose(page, "#layer", "attention", "change")
    picture = "document.querySelector('#viewer-own svg g image')"
    assert page.run(f"{picture}.getAttribute('href').startsWith('data:image/png')")
    box = [page.run(f"Number({picture}.getAttribute('{name}'))") for name in ("x", "y", "width", "height")]
    rects = page.run("""[...document.querySelectorAll('#viewer-own svg g rect')].map(one =>
        ['x', 'y', 'width', 'height'].map(name => Number(one.getAttribute(name))))""")
    left, top = min(r[0] for r in rects), min(r[1] for r in rects)
    assert box == [left, top, max(r[0] + r[2] for r in rects) - left, max(r[1] + r[3] for r in rects) - top]
    choose(page, "#opacity", "30")
    assert page.run(f"{picture}.getAttribute('opacity')") == "0.3"
    assert "times an even share" in page.run("document.getElementById('layer-legend').textContent")
    go(page, f"slide/{other}")
    assert page.run(f"{picture} === null") and page.run("document.getElementById('layer').value") == "prototype"
    option = "document.querySelector('#layer option[value=attention]')"
    assert page.run(f"{option}.disabled") and page.run(f"{option}.textContent").endswith(": not known of this slide")
    go(page, f"slide/{shown}")
    assert page.run(f"{option}.textContent").endswith(", run slpd")


def test_a_picture_without_the_layer_that_is_chosen_says_so(page):
    shown = WITH_ATTENTION[0]
    said = "[...document.querySelectorAll('.viewer .absent')].map(one => one.hidden ? '' : one.textContent)"
    go(page, f"slide/{shown}")  # its nearest slide has no attention
    assert page.run(f"!(report.page(report.page('{shown}').neighbour.id).layers.attention)")
    assert page.run(said) == ["", ""]
    choose(page, "#layer", "attention", "change")
    own, near = page.run(said)
    assert own == "" and "run slpd: not computed for this slide; docs/atlas.md" in near
    choose(page, "#layer", "prototype", "change")
    assert page.run(said) == ["", ""]


def test_attention_of_a_head_is_a_layer_of_ranks_with_the_weight_below_the_pointer(page, results_folder):
    told = read_table(results_folder / "benchmark/subtype/slpd/abmil/attention.parquet").to_pylist()
    weight = {row["region_id"]: row["attention"] for row in told if row["slide_id"] == "s01"}
    go(page, "slide/s01")
    choose(page, "#layer", "attention_subtype", "change")
    own = [weight[row["region_id"]] for row in read_table(results_folder / "regions/s01.parquet").to_pylist()]
    drawn = page.run("""[...document.querySelectorAll('#viewer-own svg rect')].map(one =>
        [one.querySelector('title').textContent, one.getAttribute('fill')])""")
    shares = page.run("report.data.shares")
    assert len(drawn) == len(own) > 20
    for (text, fill), value in zip(drawn, own, strict=True):
        rank = (sum(other < value for other in own) + 0.5) / len(own)  # no two are equal
        assert f"task subtype (rank within the slide): {rank:.2f}, {value:.2f} times an even share" in text
        assert fill == shares[min(int(round(rank, 2) * len(shares)), len(shares) - 1)]
    legend = page.run("document.getElementById('layer-legend').textContent")
    assert "0 or less" not in legend and "had not seen the slide" in legend
    last = max(row["slide_id"] for row in read_table(results_folder / "slides.parquet").to_pylist() if row["n_regions"])
    go(page, f"slide/{last}")
    assert page.run("document.querySelector('#layer option[value=attention_subtype]').disabled")
    assert page.run("document.getElementById('layer').value") == "prototype"


def test_slides_are_coloured_and_chosen_by_a_column_of_the_manifest(page):
    go(page, "cohort")
    choose(page, "select[data-key='manifest.site']", SITES[1], "change")  # with two spaces
    assert page.run(COUNT) == "8 of 24 slides"
    go(page, "map")
    choose(page, "#map-by", str(page.run("report.place['manifest.site']")), "change")
    legend = page.run(
        "[...document.querySelectorAll('#map-view svg > text:not([text-anchor])')].map(one => one.textContent)"
    )
    assert legend == ["north (7)", "south  side (7)", "west (6)"]  # of the 20 slides on the map


def test_an_excluded_slide_and_one_that_is_not_there_are_told(page):
    go(page, "slide/s22")
    assert EXCLUDED["s22"][1] in page.run("document.getElementById('slide-problem').textContent")
    go(page, "slide/another")
    assert page.run("document.getElementById('slide-problem').textContent") == "There is no such slide in this report."
    shown = "[...document.querySelectorAll('#slides h3')].filter(one => one.offsetParent !== null).length"
    assert page.run(shown) == 0  # no heading without anything below it
    go(page, "slide/s01")
    assert page.run(shown) == 2


def test_the_gallery_has_every_slide_and_finds_some(page):
    go(page, "slides")
    figures = "document.querySelectorAll('#gallery-slides figure').length"
    assert page.run(figures) == 24
    choose(page, "#gallery-filter", "s05")
    assert page.run(figures) == 1
    click(page, "#gallery-slides a")
    page.wait("!document.getElementById('slide-page').hidden && location.hash === '#slide/s05'")


def test_the_map_tells_the_slide_below_the_pointer(page):
    go(page, "map")
    marks = "document.querySelectorAll('#map-view [data-row]').length"
    assert page.run(marks) == 20
    colours = (
        "new Set([...document.querySelectorAll('#map-view [data-row]')].map(one => one.getAttribute('fill'))).size"
    )
    choose(page, "#map-by", str(page.run("report.place.tissue_mm2")), "change")
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
    click(page, "button.large")
    assert page.run("document.getElementById('enlarged').open")
    click(page, "#enlarged button")
    assert not page.run("document.getElementById('enlarged').open")


def test_all_tabs_and_rows_are_printed(page):
    page.call("Emulation.setEmulatedMedia", media="print")
    page.run("window.dispatchEvent(new Event('beforeprint'))")
    assert page.run(f"{VISIBLE}.length") == len(TABS) and page.run(f"{ROWS}.length") == 24
    assert page.run("[...document.querySelectorAll('details')].every(one => one.open)")
    go(page, "slide/s01")
    page.run("window.dispatchEvent(new Event('beforeprint'))")
    shown = "[...document.querySelectorAll('h2')].filter(one => one.offsetParent !== null).map(one => one.textContent)"
    assert page.run(shown) == ["s01"]  # the page of a slide is printed alone
    page.call("Emulation.setEmulatedMedia", media="")


@pytest.mark.parametrize("width", [1000, 688])  # the latter is A4 between the margins
def test_what_is_printed_fits_the_paper(page, report, width):
    page.call("Page.navigate", url="about:blank")
    page.open(report, width, 900)
    page.call("Emulation.setEmulatedMedia", media="print")
    page.run("window.dispatchEvent(new Event('beforeprint'))")
    assert page.run("document.documentElement.scrollWidth") <= width
    captions = "[...document.querySelectorAll('.plot figcaption')].filter(one => one.offsetParent !== null)"
    assert page.run(f"{captions}.length") > 5 and page.run(f"Math.min(...{captions}.map(one => one.offsetWidth))") > 150
    details = "Math.min(...[...document.querySelectorAll('td.detail')].map(one => one.offsetWidth))"
    assert page.run(details) > 120  # some words a line
    button = "document.querySelector('#slide-table th button')"  # Chromium repeats no button on the next page
    assert page.run(f"[getComputedStyle({button}).display, getComputedStyle({button}, '::after').display]") == [
        "contents",
        "none",
    ]
    page.call("Emulation.setEmulatedMedia", media="")
    page.open(report)


@pytest.mark.parametrize("width", [1200, 390])
def test_no_tab_runs_out_of_its_window(page, report, width):
    page.call("Page.navigate", url="about:blank")
    page.open(report, width, 800)
    for name in (*TABS, "slide/s01", "slide/s22"):
        go(page, name)
        assert page.run("document.documentElement.scrollWidth") <= width, name
    page.open(report)


def test_a_number_and_the_text_right_of_it_are_apart(page):
    go(page, "cohort")
    gaps = page.run("""[...document.querySelectorAll('#slide-table tr')].flatMap(line => [...line.cells].filter(
        (cell, at) => at && !cell.classList.contains('num') && line.cells[at - 1].classList.contains('num')).map(
        cell => parseFloat(getComputedStyle(cell).paddingLeft)))""")
    assert len(gaps) >= 48 and min(gaps) > 8


@pytest.mark.parametrize("width", [1200, 390])
def test_what_an_address_names_is_not_below_the_menu(page, report, width):
    page.call("Page.navigate", url="about:blank")
    page.open(f"{report}#curves", width, 800)
    for name in ("curves", "map", "atlas", "cost", "caveats"):
        go(page, name)
        top = page.run(f"document.getElementById('{name}').getBoundingClientRect().top")
        assert page.run("document.querySelector('.top').getBoundingClientRect().bottom") < top < 800, name
    page.open(report)


def test_on_a_small_screen_all_of_the_map_is_seen(page, report):
    seen = "[report.data.maps[0].rows.length, document.querySelectorAll('#map-view svg [data-row]').length]"
    for width in (390, 1200):
        page.call("Page.navigate", url="about:blank")
        page.open(f"{report}#map", width, 800)
        assert page.run("(view => view.scrollWidth <= view.clientWidth)(document.getElementById('map-view'))")
        marks, drawn = page.run(seen)
        assert marks == drawn > 10
        scale = "(svg => svg.getBoundingClientRect().width / svg.viewBox.baseVal.width)"
        assert 12 * page.run(f"{scale}(document.querySelector('#map-view svg'))") > 9  # px of its text
        inside = page.run("""(svg => [...svg.querySelectorAll('text, circle, polygon')].every(one => {
            const own = one.getBoundingClientRect(), all = svg.getBoundingClientRect();
            return own.right <= all.right && own.bottom <= all.bottom && own.left >= all.left; }))(
            document.querySelector('#map-view svg'))""")
        assert inside
    page.open(report)


def test_of_many_slides_the_larger_pictures_lie_beside_the_file(tab, results_folder, tmp_path, monkeypatch):
    root = shutil.copytree(results_folder, tmp_path / "demo", ignore=shutil.ignore_patterns("source", "*.html"))
    names = make_many(root, 230)
    slides = [row for row in read_table(root / "slides.parquet").to_pylist() if row["status"] == "ok"]
    largest = max(slides, key=lambda row: (row["n_regions"], row["slide_id"]))["slide_id"]
    room = (sum(row["n_regions"] for row in slides) - 1) * REGION
    monkeypatch.setattr(shown_slides, "region_room", lambda plan: room)
    output = root / "report.html"
    main(["--config", config_json(), "--results", str(root), "--output", str(output)])
    assert output.stat().st_size < 60e6
    tab.problems.clear()
    tab.requests.clear()
    tab.open(output.as_uri())
    go(tab, "cohort")
    assert tab.run(COUNT) == "230 of 230 slides" and tab.run(f"{ROWS}.length") == 100
    click(tab, "#slide-pager button:last-child")
    assert tab.run("document.getElementById('slide-pager').textContent") == "Backpage 2 of 3Next"
    assert "report_files/" in tab.run("document.getElementById('gallery').textContent")
    go(tab, f"slide/{names[7]}")
    picture = "document.querySelector('#viewer-own image').getAttribute('href')"
    tab.wait(f"{picture} === 'report_files/slides/{names[7]}.jpg'")
    go(tab, f"slide/{largest}")
    assert "no room for the regions" in tab.run("document.getElementById('slide-prototypes').textContent")
    assert tab.run(
        "document.getElementById('layer-controls').hidden && document.querySelector('#viewer-own image') !== null"
    )
    before = names[names.index(largest) - 1]  # whose nearest slide it is
    go(tab, f"slide/{before}")
    assert tab.run("document.querySelectorAll('#viewer-near svg image').length") == 1
    go(tab, f"slide/{names[7]}")
    assert tab.problems == [] and all(address.startswith(root.as_uri()) for address in tab.requests)
    shutil.rmtree(root / "report_files")
    tab.reload()
    tab.wait("document.querySelector('#viewer-own image') !== null")
    assert tab.run(picture).startswith("data:image/jpeg")  # the small one stays
