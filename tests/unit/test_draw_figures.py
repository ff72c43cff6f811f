"""draw_figures on a plausible results folder: files, their resolution, captions, and what is drawn."""

import base64
import json
import re

import numpy as np
import pytest
from PIL import Image

from tests.unit.report.results_folder import TASKS, config_json, make_results
from workflow_scripts import describe_groups, draw_figures, group_prototypes
from workflow_scripts.core import schemas
from workflow_scripts.core.tables import read_table, write_table
from workflow_scripts.report.figure_files import DPI, Sheet, write_sheet
from workflow_scripts.report.group_figures import Match, SlideMap, atlas_figure, map_figure, matched_figure
from workflow_scripts.report.inputs import Results
from workflow_scripts.report.settings import ReportSettings


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    root = tmp_path_factory.mktemp("cohort") / "demo"
    make_results(root)
    run, tables = root / "pretrain/slpd", root / "pretrain/slpd/round_04"
    clustered = [str(tables / f"{name}.parquet") for name in ("prototypes", "assignments")]
    rows = read_table(clustered[0]).to_pylist()  # where all prototypes have one direction
    rows = [row | {"vector": np.eye(4)[row["prototype"]].tolist()} for row in rows]
    write_table(clustered[0], rows, schemas.PROTOTYPES)
    group = ["--config", json.dumps({"groups": 5}), "--tables", *clustered, "--output", f"{run}/groups.parquet"]
    group_prototypes.main(group)
    labels = [str(root / f"benchmark/{task}/labels.parquet") for task in ("subtype", "grade")]
    describe = ["--groups", f"{run}/groups.parquet", "--assignments", clustered[1], "--output", f"{run}/atlas.parquet"]
    present = [path for path in labels if (root.parent / path).is_file()]
    describe += ["--config", json.dumps({"tasks": {}}), "--regions-folder", f"{root}/regions"]
    describe_groups.main([*describe, *(["--labels", *present] if present else [])])
    return root


def _draw(results, folder):
    options = ["--config", config_json(), "--results", str(results), "--output", str(folder / "captions.md")]
    draw_figures.main(options)
    return {path.name for path in folder.iterdir()}


@pytest.fixture(scope="module")
def drawn(results, tmp_path_factory):
    folder = tmp_path_factory.mktemp("figures")
    (folder / ".written.json").write_text('["matched_gone.png"]')  # of an earlier run
    for name in ("matched_gone.png", "mine.svg"):
        (folder / name).write_bytes(b"")
    return folder, _draw(results, folder) - {".written.json"}


@pytest.mark.slow
def test_each_figure_is_there_in_its_forms_with_a_caption(drawn):
    folder, files = drawn
    names = re.findall(r"^## (.*)$", (folder / "captions.md").read_text(), re.MULTILINE)
    assert {name.rsplit(".", 1)[0] for name in files} == {*names, "captions", "mine"} and len(set(names)) == len(names)
    assert {"training", "prototype_maps", "atlas"} <= set(names)
    assert {f"results_{task}" for task in TASKS} <= set(names)
    assert sum(name.startswith("matched_") for name in names) == 3
    for name in names:
        assert {f"{name}.png", f"{name}.svg", f"{name}.pdf"} <= files


@pytest.mark.slow
def test_pictures_have_300_dpi_and_the_size_of_the_vector(drawn):
    folder, files = drawn
    for file in (name for name in files if name.endswith(".png")):
        with Image.open(folder / file) as picture:
            assert picture.info["dpi"] == pytest.approx((DPI, DPI), abs=0.1)
            width = picture.width
        points = float(re.search(r'<svg[^>]* width="([\d.]+)pt"', (folder / f"{file[:-4]}.svg").read_text())[1])
        assert width == pytest.approx(points / 72 * DPI, abs=2)


def test_the_same_figure_gives_the_same_bytes(tmp_path):
    regions = [{"x": 10 * i, "y": 0, "size_x": 10, "size_y": 10, "group": i} for i in range(3)]
    for folder in (tmp_path / "one", tmp_path / "two"):
        figure = map_figure([SlideMap("a", 40, 20, np.zeros((2, 4, 3), np.uint8), regions)], 3)
        assert write_sheet(Sheet("map", figure, ""), folder) == ["map.png", "map.svg", "map.pdf"]
    for kind in ("png", "svg", "pdf"):
        assert (tmp_path / f"one/map.{kind}").read_bytes() == (tmp_path / f"two/map.{kind}").read_bytes()


def test_a_figure_of_the_report_keeps_its_svg_and_its_pdf(tmp_path):
    svg = b'<svg xmlns="http://www.w3.org/2000/svg" width="72pt" height="36pt"><rect width="72" height="36"/></svg>'
    uris = [f"data:;base64,{base64.b64encode(content).decode()}" for content in (svg, b"%PDF")]
    assert write_sheet(Sheet("one", uris[0], ""), tmp_path) == ["one.png", "one.svg"]
    assert write_sheet(Sheet("two", uris[0], "", uris[1]), tmp_path) == ["two.png", "two.svg", "two.pdf"]
    assert (tmp_path / "one.svg").read_bytes() == svg and (tmp_path / "two.pdf").read_bytes() == b"%PDF"
    assert Image.open(tmp_path / "one.png").size == (300, 150)


def test_a_cohort_without_prototypes_has_no_groups(results):
    runs = {name: run for name, run in json.loads(config_json())["runs"].items() if name == "dino"}
    settings = ReportSettings.model_validate_json(config_json(runs=runs))
    assert draw_figures.read_groups(Results(results), settings) is None


def _colours(figure):
    return [patch.get_facecolor()[:3] for axes in figure.axes for patch in axes.patches]


def test_a_map_has_a_rectangle_a_region_in_the_colour_of_its_group():
    regions = [{"x": 10 * i, "y": 0, "size_x": 10, "size_y": 10, "group": i} for i in range(3)]
    figure = map_figure([SlideMap("a", 40, 20, np.zeros((2, 4, 3), np.uint8), regions)], 3)
    assert [len(axes.patches) for axes in figure.axes] == [0, 3]
    wanted = [(0, 114, 178), (230, 159, 0), (0, 158, 115)]
    assert np.allclose(_colours(figure), np.array(wanted) / 255)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["Group 0", "Group 1", "Group 2"]


def test_a_slide_without_a_picture_and_a_region_over_its_edge_are_drawn():
    region = {"x": -5, "y": 15, "size_x": 10, "size_y": 10, "group": 20}
    figure = map_figure([SlideMap("$a$", 40, 20, None, [region])], 21)
    assert figure.axes[1].get_xlim() == (-5, 40) and figure.axes[1].get_ylim() == (25, 0)


def test_matches_stand_side_by_side():
    crop = np.zeros((4, 4, 3), np.uint8)
    figure = matched_figure("a", "b", 0.875, [Match(0, 2, [crop, None], 3, 1, [crop]), Match(1, 0, [], 0, 0, [crop])])
    assert [len(axes.images) for axes in figure.axes] == [1, 1, 0, 1]
    assert figure.axes[0].get_ylabel() == "prototype 0\nGroup 2"
    assert figure.axes[1].get_ylabel() == "prototype 3\nGroup 1"
    assert figure.axes[1].get_title(loc="left") == "b, mean cosine 0.88"


def test_the_atlas_tells_counts_and_denominators(results):
    row = {"group": 0, "n_regions": 7, "n_slides": 2}
    classes = [
        {"task": "grade", "class": "low", "n_regions": 3, "class_regions": 12},
        {"task": "grade", "class": "high", "n_regions": 0, "class_regions": 0},
    ]
    figure = atlas_figure([row | {"classes": classes}], [[None]])
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert texts == ["Group 0", "7 regions\n2 slides", "3 of 12", "0 of 0"]
    assert [bar.get_width() for bar in figure.axes[2].patches] == [0.25, 0]
    assert len(atlas_figure([row | {"classes": []}], [[None]]).axes) == 2  # a cohort without labels
    assert len(read_table(results / "pretrain/slpd/atlas.parquet")) == 4
