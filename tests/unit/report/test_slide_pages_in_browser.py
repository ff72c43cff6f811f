"""A slide's page in headless Chromium: its pictures, layers, neighbours and groups."""

import shutil

import numpy as np
import pyarrow.compute as pc
import pytest

from tests.unit.report.atlas_tables import GROUP_OF, WITH_ATTENTION
from tests.unit.report.many_slides import make_many
from tests.unit.report.page import COUNT, ROWS, VISIBLE
from tests.unit.report.results_folder import EXCLUDED, config_json
from workflow_scripts.core.colours import group_colour, group_name
from workflow_scripts.core.tables import read_table
from workflow_scripts.report import shown_slides
from workflow_scripts.report.region_room import REGION
from workflow_scripts.write_report import main


def test_a_slide_has_its_regions_zoom_and_opacity(page, results_folder):
    page.go("slide/s01")
    regions = "#viewer-own svg rect"
    count = len(read_table(results_folder / "regions/s01.parquet"))
    assert page.run(f"document.querySelectorAll('{regions}').length") == count
    assert page.run("document.getElementById('slide-name').textContent") == "s01"
    colours = f"new Set([...document.querySelectorAll('{regions}')].map(one => one.getAttribute('fill'))).size"
    assert page.run(colours) == 4
    page.choose("#opacity", "20")
    group = "document.querySelector('#viewer-own svg g')"
    assert page.run(f"{group}.getAttribute('fill-opacity')") == "0.2"
    page.choose("#layer", "similarity", "change")
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
    page.choose("#layer", "", "change")
    assert page.run(f"document.querySelectorAll('{regions}').length") == 0
    box = "document.querySelector('#viewer-own svg').getAttribute('viewBox').split(' ').map(Number)"
    whole = page.run(box)
    page.click('#viewer-own button[aria-label="Zoom in"]')
    assert page.run(box)[2] == pytest.approx(0.6 * whole[2], rel=1e-3)
    page.run("document.querySelector('#viewer-own .frame').focus()")
    page.key("ArrowRight", 39)
    assert page.run(box)[0] > 0.2 * whole[2]
    page.key("+", 187, "+")
    assert page.run(box)[2] == pytest.approx(0.36 * whole[2], rel=1e-3)
    page.key("0", 48, "0")
    assert page.run(box) == whole
    page.click("#tissue")
    assert page.run("getComputedStyle(document.querySelector('#viewer-own path.outline')).display") == "inline"


def test_the_nearest_slide_stands_beside_in_the_colours_of_the_match(page, results_folder):
    page.go("slide/s01")
    folder = results_folder / "pretrain/slpd/round_04"
    (near,) = [r for r in read_table(folder / "neighbours.parquet").to_pylist() if r["slide_id"] == "s01"]
    assert near["neighbour_id"] in page.run("document.querySelector('#viewer-near figcaption').textContent")

    def colours(viewer):
        found = page.run(f"""[...document.querySelectorAll('{viewer} svg g g')].map(one =>
            [one.querySelector('text').textContent, one.querySelector('rect').getAttribute('fill')])""")
        return {int(number): colour for number, colour in found}

    own, theirs = colours("#viewer-own"), colours("#viewer-near")
    assert {match: own[prototype] for prototype, match in enumerate(near["matching"])} == theirs
    page.click("#viewer-near figcaption a")
    page.wait(f"document.getElementById('slide-name').textContent === '{near['neighbour_id']}'")
    page.click("#slide-before")
    page.wait("document.getElementById('slide-name').textContent === 's01'")


def rgb(colour):
    return "rgb({}, {}, {})".format(*bytes.fromhex(colour.removeprefix("#")))


def test_groups_have_one_name_and_colour_in_the_atlas_and_on_every_page(page, results_folder):
    page.go("prototypes")
    swatch = "getComputedStyle(one.querySelector('.swatch')).backgroundColor"
    blocks = page.run(
        f"[...document.querySelectorAll('.group')].map(one => [one.querySelector('h4').textContent, {swatch}])"
    )
    assert blocks == [[group_name(number), rgb(group_colour(number))] for number in range(3)]
    pictures = "[...document.querySelectorAll('.group img')].map(one => (one.loading = 'eager', one.decode()))"
    assert page.run(f"Promise.all({pictures}).then(all => all.length)") == 3 * 8
    page.go("slide/s01")
    page.choose("#layer", "group", "change")
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
    page.click("#slide-prototypes td a")
    page.wait(f"location.hash === '#group-{GROUP_OF[0]}' && {VISIBLE}[0].id === 'prototypes'")


def test_attention_is_laid_over_the_slides_that_have_it(page):
    shown, other = WITH_ATTENTION[0], "s02"
    page.go(f"slide/{shown}")
    page.choose("#layer", "attention", "change")
    picture = "document.querySelector('#viewer-own svg g image')"
    assert page.run(f"{picture}.getAttribute('href').startsWith('data:image/png')")
    box = [page.run(f"Number({picture}.getAttribute('{name}'))") for name in ("x", "y", "width", "height")]
    rects = page.run("""[...document.querySelectorAll('#viewer-own svg g rect')].map(one =>
        ['x', 'y', 'width', 'height'].map(name => Number(one.getAttribute(name))))""")
    left, top = min(r[0] for r in rects), min(r[1] for r in rects)
    assert box == [left, top, max(r[0] + r[2] for r in rects) - left, max(r[1] + r[3] for r in rects) - top]
    page.choose("#opacity", "30")
    assert page.run(f"{picture}.getAttribute('opacity')") == "0.3"
    assert "times an even share" in page.run("document.getElementById('layer-legend').textContent")
    page.go(f"slide/{other}")
    assert page.run(f"{picture} === null") and page.run("document.getElementById('layer').value") == "prototype"
    option = "document.querySelector('#layer option[value=attention]')"
    assert page.run(f"{option}.disabled") and page.run(f"{option}.textContent").endswith(": not known of this slide")
    page.go(f"slide/{shown}")
    assert page.run(f"{option}.textContent").endswith(", run slpd")


def test_a_picture_without_the_layer_that_is_chosen_says_so(page):
    shown = WITH_ATTENTION[0]
    said = "[...document.querySelectorAll('.viewer .absent')].map(one => one.hidden ? '' : one.textContent)"
    page.go(f"slide/{shown}")  # its nearest slide has no attention
    assert page.run(f"!(report.page(report.page('{shown}').neighbour.id).layers.attention)")
    assert page.run(said) == ["", ""]
    page.choose("#layer", "attention", "change")
    own, near = page.run(said)
    assert own == "" and "run slpd: not computed for this slide; docs/atlas.md" in near
    page.choose("#layer", "prototype", "change")
    assert page.run(said) == ["", ""]


def test_attention_of_a_head_is_a_layer_of_ranks_with_the_weight_below_the_pointer(page, results_folder):
    told = read_table(results_folder / "benchmark/subtype/slpd/abmil/attention.parquet").to_pylist()
    weight = {row["region_id"]: row["attention"] for row in told if row["slide_id"] == "s01"}
    page.go("slide/s01")
    page.choose("#layer", "attention_subtype", "change")
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
    page.go(f"slide/{last}")
    assert page.run("document.querySelector('#layer option[value=attention_subtype]').disabled")
    assert page.run("document.getElementById('layer').value") == "prototype"


def test_an_excluded_slide_and_one_that_is_not_there_are_told(page):
    page.go("slide/s22")
    assert EXCLUDED["s22"][1] in page.run("document.getElementById('slide-problem').textContent")
    page.go("slide/another")
    assert page.run("document.getElementById('slide-problem').textContent") == "There is no such slide in this report."
    shown = "[...document.querySelectorAll('#slides h3')].filter(one => one.offsetParent !== null).length"
    assert page.run(shown) == 0  # no heading without anything below it
    page.go("slide/s01")
    assert page.run(shown) == 2


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
    tab.go("cohort")
    assert tab.run(COUNT) == "230 of 230 slides" and tab.run(f"{ROWS}.length") == 100
    tab.click("#slide-pager button:last-child")
    assert tab.run("document.getElementById('slide-pager').textContent") == "Backpage 2 of 3Next"
    assert "report_files/" in tab.run("document.getElementById('gallery').textContent")
    tab.go(f"slide/{names[7]}")
    picture = "document.querySelector('#viewer-own image').getAttribute('href')"
    tab.wait(f"{picture} === 'report_files/slides/{names[7]}.jpg'")
    tab.go(f"slide/{largest}")
    assert "no room for the regions" in tab.run("document.getElementById('slide-prototypes').textContent")
    assert tab.run(
        "document.getElementById('layer-controls').hidden && document.querySelector('#viewer-own image') !== null"
    )
    before = names[names.index(largest) - 1]  # whose nearest slide it is
    tab.go(f"slide/{before}")
    assert tab.run("document.querySelectorAll('#viewer-near svg image').length") == 1
    tab.go(f"slide/{names[7]}")
    assert tab.problems == [] and all(address.startswith(root.as_uri()) for address in tab.requests)
    shutil.rmtree(root / "report_files")
    tab.reload()
    tab.wait("document.querySelector('#viewer-own image') !== null")
    assert tab.run(picture).startswith("data:image/jpeg")  # the small one stays
