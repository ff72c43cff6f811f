import base64
import io
import re
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import shapely
from PIL import Image

from workflow_scripts.report import settings, slide_pages
from workflow_scripts.report.inputs import Results
from workflow_scripts.report.pictures import fitted_jpeg
from workflow_scripts.report.slide_pages import (
    cosine_ends,
    outline_path,
    plan_pages,
    slide_layers,
    slide_page,
    write_pictures,
)
from workflow_scripts.report.slide_table import label_columns, slide_table


def _slides(count):
    return [
        {"slide_id": f"s{i:05d}", "status": "excluded" if i % 50 == 0 else "ok", "reason": ""} for i in range(count)
    ]


def test_pictures_are_made_smaller_until_they_fit():
    noise = np.random.default_rng(0).integers(0, 255, (600, 800, 3)).astype(np.uint8)
    for most in (200_000, 20_000):
        content = base64.b64decode(fitted_jpeg(noise, most).partition(",")[2])
        width, height = Image.open(io.BytesIO(content)).size
        assert most / 3 < len(content) <= most and width / height == pytest.approx(4 / 3, abs=0.02)
    tiny = base64.b64decode(fitted_jpeg(noise, 10).partition(",")[2])
    assert max(Image.open(io.BytesIO(tiny)).size) == 64


@pytest.mark.parametrize(
    "count, limit", [(1, 20e6), (100, 20e6), (200, 20e6), (201, 60e6), (1000, 60e6), (30_000, 60e6)]
)
def test_pictures_of_all_pages_leave_room_in_the_file(count, limit):
    plan = plan_pages(_slides(count))
    assert len(plan.slides) * plan.most_bytes * 4 / 3 < 0.8 * limit
    assert plan.apart == (count > settings.INSIDE) and len(plan.slides) == min(count, slide_pages.PAGES)
    assert plan.most_bytes > 10_000  # still to be seen


def test_outlines_keep_holes_and_their_area():
    outer = shapely.Point(5000, 4000).buffer(3000, quad_segs=200)
    tissue = outer.difference(shapely.Point(5000, 4000).buffer(800, quad_segs=200))
    path = outline_path([shapely.to_wkb(tissue)], 10_000, 8_000)
    rings = [[tuple(map(int, p.split())) for p in ring.split("L")] for ring in re.findall(r"M([^Z]+)Z", path)]
    assert len(rings) == 2 and len(path) < 2500
    assert shapely.Polygon(rings[0], [rings[1]]).area == pytest.approx(tissue.area, rel=0.01)
    assert outline_path([], 100, 100) == ""


def test_colours_of_cosines_run_over_those_of_the_cohort():
    values = np.random.default_rng(0).uniform(0.98, 0.995, 500).astype(np.float32)
    tables = {"a": values[:200].tolist(), "b": [None, *values[200:].tolist()]}
    low, top = cosine_ends({slide: pa.table({"similarity": own}) for slide, own in tables.items()})
    assert top == values.max() and low == pytest.approx(np.sort(values.astype(float))[4:6] @ [0.01, 0.99], abs=1e-12)
    assert cosine_ends({}) == cosine_ends({"a": pa.table({"similarity": pa.array([None], pa.float32())})}) == (0, 1)


def test_a_page_has_each_region_with_its_prototype(results_folder):
    results = Results(results_folder)
    slides = {row["slide_id"]: row for row in results.slides()}
    assigned = results.assignments("slpd", 4, ["s01", "s02", "s20"])
    assert set(assigned) == {"s01", "s02"}  # s20 is excluded
    plan = plan_pages(list(slides.values()))
    page = slide_page(results, slides["s01"], plan, assigned["s01"], None)
    of = {row["region_id"]: row for row in assigned["s01"].to_pylist()}
    regions = results.regions("s01")
    assert page["x"] == [r["x"] for r in regions] and page["w"] == 70
    assert page["layers"]["prototype"] == [of[r["region_id"]]["prototype"] for r in regions]
    assert page["layers"]["similarity"] == pytest.approx([of[r["region_id"]]["similarity"] for r in regions], abs=6e-4)
    assert "group" not in page["layers"] and "group" not in [layer["key"] for layer in slide_layers(0, (0, 1))]
    groups = {0: 5, 1: 2, 2: 2, 3: 0}
    grouped = slide_page(results, slides["s01"], plan, assigned["s01"], None, groups)
    assert grouped["layers"]["group"] == [groups[prototype] for prototype in page["layers"]["prototype"]]
    alone = slide_page(results, slides["s20"], plan, None, None)
    assert "x" not in alone and alone["picture"].startswith("data:image/jpeg")


def test_pictures_of_many_slides_lie_in_the_folder_and_of_few_nowhere(results_folder, tmp_path, monkeypatch):
    results, folder = Results(results_folder), tmp_path / "report_files"
    write_pictures(results, results.slides(), folder)
    assert not folder.exists()
    monkeypatch.setattr(settings, "INSIDE", 10)
    write_pictures(results, results.slides(), folder)
    assert sorted(p.name for p in folder.rglob("*.jpg")) == [f"s{i:02d}.jpg" for i in range(24)]
    monkeypatch.undo()
    write_pictures(results, results.slides(), folder)
    assert not folder.exists() and not list(tmp_path.glob(".*"))


def test_labels_are_columns_and_dealt_ones_are_not():
    none = {"label": None, "time": None, "event": None, "value": None, "slide_id": "a"}
    labels = {"subtype": {"label": "adeno"}, "survival": {"time": 1.0, "event": False}, "dealt": {"label": "wrong"}}
    inputs = SimpleNamespace(labels=lambda task: [none | labels[task]])
    of_tasks = SimpleNamespace(tasks={name: SimpleNamespace(permuted=name == "dealt") for name in labels})
    columns, of_slide = label_columns(inputs, of_tasks)
    assert [column.title for column in columns] == ["subtype", "survival, time", "survival, event"]
    assert of_slide == {"a": {"subtype": "adeno", "survival.time": 1.0, "survival.event": "no"}}
    fields = (
        "slide_id patient_id reason detail mpp_x mpp_y mpp_source tissue_mm2 n_regions width height vendor"
    ).split()
    fields += ["unreadable_fraction", "pen_fraction", "blurred_fraction"]
    slides = [dict.fromkeys(fields) | {"slide_id": name, "status": "ok", "tissue_mm2": float("nan")} for name in "ba"]
    table = slide_table(slides, [], (columns, of_slide))
    keys = [column["key"] for column in table["columns"]]
    assert [row[0] for row in table["rows"]] == ["a", "b"] and "cohort" not in keys
    assert dict(zip(keys, table["rows"][0], strict=True))["subtype"] == "adeno"
    assert dict(zip(keys, table["rows"][1], strict=True))["tissue_mm2"] is None
