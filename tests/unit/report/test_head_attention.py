"""Where heads of the benchmark look, as layers of the slides' pages."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import rankdata

from tests.unit.report.results_folder import config_json
from workflow_scripts.core.tables import read_table, write_table
from workflow_scripts.mil.attention import ATTENTION
from workflow_scripts.report.head_attention import head_layers, region_values
from workflow_scripts.report.inputs import Results
from workflow_scripts.report.settings import ReportSettings
from workflow_scripts.report.slide_pages import plan_pages, slide_layers, slide_page

OF_SLPD = "benchmark/subtype/slpd/abmil/attention.parquet"


@pytest.fixture
def folder(results_folder, tmp_path):
    """A copy of what the layers are made of."""
    for name in ("slides.parquet", "benchmark", "regions"):
        copy = shutil.copytree if (results_folder / name).is_dir() else shutil.copy
        copy(results_folder / name, tmp_path / name)
    return tmp_path


def _settings(**of_subtype):
    settings = json.loads(config_json())
    settings["tasks"]["subtype"] |= of_subtype
    return ReportSettings.model_validate(settings)


def test_regions_are_found_by_id_and_others_have_no_value():
    places = pa.table({"region_id": ["a", "b", "c", "d"]})
    attention = pa.table({"region_id": ["d", "x", "a", "c"], "attention": np.float32([0.5, 9, 2, 0.503])})
    ranks, times = region_values(places, attention)
    assert ranks == [0.83, None, 0.5, 0.17] and times == [2.0, None, 0.5, 0.5]


def test_a_page_has_the_layer_of_each_task_with_its_rank_within_the_slide(folder):
    inputs = Results(folder)
    slides = {row["slide_id"]: row for row in inputs.slides()}
    (layer,) = head_layers(inputs, _settings(), "slpd", ["s01", "s05", "s20"], 9)
    assert set(layer.of_slide) == {"s01", "s05"}  # s20 is excluded
    assert layer.facts["title"] == "Attention of abmil, task subtype (rank within the slide)"
    assert "on slpd, mean over the fits that had not seen the slide" in layer.facts["note"]
    assert "in the slide;" in layer.facts["note"] and slide_layers(0, (0, 1), None, [layer])[-1] is layer.facts
    plan = plan_pages(list(slides.values()))
    page = slide_page(inputs, slides["s05"], plan, None, None, of_heads=[layer])
    weight = {
        r["region_id"]: r["attention"] for r in read_table(folder / OF_SLPD).to_pylist() if r["slide_id"] == "s05"
    }
    own = np.array([weight[region["region_id"]] for region in inputs.regions("s05")])
    np.testing.assert_allclose(page["layers"]["attention_subtype"], (rankdata(own) - 0.5) / len(own), atol=0.00501)
    np.testing.assert_allclose(page["times"]["attention_subtype"], own, atol=0.00501)
    other = slide_page(inputs, slides["s02"], plan, None, None, of_heads=[layer])
    assert "times" not in other and other["layers"] == {}


def test_an_even_share_is_told_to_be_of_the_patient_where_that_is_a_bag(folder):
    (layer,) = head_layers(Results(folder), _settings(slides_of_patient="bag"), "slpd", ["s01"], 9)
    assert "even share in the patient;" in layer.facts["note"]


def test_tasks_of_dealt_labels_and_heads_that_do_not_attend_have_no_layer(folder):
    inputs = Results(folder)
    assert head_layers(inputs, _settings(permuted=True), "slpd", ["s01"], 9) == []
    rows = read_table(folder / OF_SLPD)
    named = rows.set_column(2, "head", pa.array(["mean_mil"] * len(rows)))
    write_table(folder / OF_SLPD, named, ATTENTION)
    assert head_layers(inputs, _settings(), "slpd", ["s01"], 9) == []


def test_where_the_shown_run_has_none_another_representation_of_regions_has(folder):
    inputs = Results(folder)
    of = {name: folder / f"benchmark/subtype/{name}/abmil/attention.parquet" for name in ("slpd", "mean", "dino")}
    rows = read_table(of["slpd"])
    write_table(of["dino"], rows, ATTENTION)
    prototypes = pa.array(["prototype_0"] * len(rows))
    write_table(of["mean"], rows.set_column(1, "region_id", prototypes), ATTENTION)  # earlier, and no regions
    for run, kept, expected in (("slpd", True, "slpd"), ("dino", True, "dino"), ("slpd", False, "dino")):
        if not kept:
            write_table(of["slpd"], ATTENTION.empty_table(), ATTENTION)
        (layer,) = head_layers(inputs, _settings(), run, ["s01"], 9)
        assert f"on {expected}," in layer.facts["note"]


def test_so_many_tasks_have_a_layer_as_the_page_has_room_for(folder, monkeypatch):
    inputs, slides = Results(folder), ["s01", "s02", "s05"]
    results = read_table(folder / "benchmark/results.parquet").to_pylist()
    again = [row | {"task": "again"} for row in results if row["task"] == "subtype"]
    monkeypatch.setattr(Results, "benchmark", lambda self: results + again)
    (folder / "benchmark/again").symlink_to(folder / "benchmark/subtype")
    settings = _settings()
    settings = settings.model_copy(update={"tasks": settings.tasks | {"again": settings.tasks["subtype"]}})
    for most, count in ((3, 2), (2, 2), (1, 1)):
        assert len(head_layers(inputs, settings, "slpd", slides, most)) == count
