"""Where things stand on the report in headless Chromium: on paper, in narrow windows, below the menu."""

import pytest

from tests.unit.report.page import ROWS, TABS, VISIBLE


def test_all_tabs_and_rows_are_printed(page):
    page.call("Emulation.setEmulatedMedia", media="print")
    page.run("window.dispatchEvent(new Event('beforeprint'))")
    assert page.run(f"{VISIBLE}.length") == len(TABS) and page.run(f"{ROWS}.length") == 24
    assert page.run("[...document.querySelectorAll('details')].every(one => one.open)")
    page.go("slide/s01")
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
        page.go(name)
        assert page.run("document.documentElement.scrollWidth") <= width, name
    page.open(report)


def test_a_number_and_the_text_right_of_it_are_apart(page):
    page.go("cohort")
    gaps = page.run("""[...document.querySelectorAll('#slide-table tr')].flatMap(line => [...line.cells].filter(
        (cell, at) => at && !cell.classList.contains('num') && line.cells[at - 1].classList.contains('num')).map(
        cell => parseFloat(getComputedStyle(cell).paddingLeft)))""")
    assert len(gaps) >= 48 and min(gaps) > 8


@pytest.mark.parametrize("width", [1200, 390])
def test_what_an_address_names_is_not_below_the_menu(page, report, width):
    page.call("Page.navigate", url="about:blank")
    page.open(f"{report}#curves", width, 800)
    for name in ("curves", "map", "atlas", "cost", "caveats"):
        page.go(name)
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
