"""export_qupath from tables to GeoJSON, held against what QuPath reads.

The format is that of qupath.lib.io.QuPathTypeAdapters of QuPath 0.4 to 0.6: `objectType` one of five words, a UUID as
`id`, `classification` with `name` and a `color` of three whole numbers, `measurements` as an object of numbers.
"""

import json
import uuid

import pytest

from workflow_scripts import export_qupath
from workflow_scripts.core import schemas
from workflow_scripts.core.colours import GROUP_COLOURS, group_colour, red_green_blue
from workflow_scripts.core.slide_scores import slide_scores
from workflow_scripts.core.tables import read_table, write_table
from workflow_scripts.mil.predictions import PREDICTIONS
from workflow_scripts.tissue.geojson_features import is_annotation, read_features
from workflow_scripts.tissue.polygons import TISSUE_SCHEMA


def _prediction(slide, patient, repeat, probabilities, **more):
    row = {"head": "logistic", "budget": "all", "repeat": repeat, "fold": 0, "seed": 0, "patient_id": patient}
    return row | {"slide_id": slide, "probabilities": probabilities} | more


@pytest.fixture
def results(tmp_path):
    """Slides `a`, whose bounds begin at (100, 40), and `b`; `c` has too few regions for prototypes."""
    groups, assignments = [], []
    for slide, of in {"a": (3, 0), "b": (0, 17)}.items():
        groups += [
            {"slide_id": slide, "prototype": i, "group": group, "similarity": 0.75} for i, group in enumerate(of)
        ]
        assignments += [
            {"slide_id": slide, "region_id": f"{slide}{i}", "prototype": i % 2, "similarity": 0.5} for i in range(4)
        ]
        regions = [
            {"slide_id": slide, "region_id": f"{slide}{i}", "x": 64 * i - 10, "y": 50, "size_x": 64, "size_y": 32}
            for i in range(4)
        ]
        write_table(tmp_path / "regions" / f"{slide}.parquet", regions, schemas.REGIONS)
    write_table(tmp_path / "groups.parquet", groups, schemas.GROUPS)
    write_table(tmp_path / "assignments.parquet", assignments, schemas.ASSIGNMENTS)
    write_table(tmp_path / "tissue/a.parquet", [], TISSUE_SCHEMA, {"origin": [100, 40]})
    slides = [{"slide_id": name, "patient_id": f"of_{name}", "status": "ok"} for name in "abc"]
    write_table(tmp_path / "slides.parquet", slides, schemas.SLIDES)
    rows = [_prediction("a", "of_a", 0, [0.25, 0.75]), _prediction("a", "of_a", 1, [0.75, 0.25])]
    rows += [_prediction("a", "of_a", 0, [1.0, 0.0], head="knn"), _prediction("a", "of_a", 0, [1.0, 0.0], budget="25%")]
    rows.append(_prediction(None, "of_b", 0, [0.125, 0.875]))
    meta = {"task": "grade", "kind": "classification", "classes": ["low", "high"]}
    write_table(tmp_path / "predictions.parquet", rows, PREDICTIONS, meta)
    return tmp_path


def _export(results):
    paths = {name: results / f"{name}.parquet" for name in ("groups", "assignments", "predictions")}
    options = [part for name, path in paths.items() for part in (f"--{name}", str(path))]
    options += ["--results", str(results), "--output", str(results / "qupath/index.parquet")]
    export_qupath.main([*options, "--config", json.dumps({"heads": {"grade": "logistic"}})])
    files = {path.stem: json.loads(path.read_text()) for path in (results / "qupath").glob("*.geojson")}
    return {name: content["features"] for name, content in files.items() if content["type"] == "FeatureCollection"}


def test_every_feature_is_what_qupath_reads(results):
    found = _export(results)
    assert set(found) == {"a", "b"} and [len(features) for features in found.values()] == [4, 4]
    ids = set()
    for feature in (feature for features in found.values() for feature in features):
        assert feature["type"] == "Feature" and set(feature) == {"type", "id", "geometry", "properties"}
        ids.add(uuid.UUID(feature["id"]))
        (ring,) = feature["geometry"]["coordinates"]
        assert feature["geometry"]["type"] == "Polygon" and len(ring) == 5 and ring[0] == ring[-1]
        properties = feature["properties"]
        assert properties["objectType"] in ("annotation", "detection", "tile", "cell", "tmaCore")
        assert isinstance(properties["name"], str) and set(properties["classification"]) == {"name", "color"}
        colour = properties["classification"]["color"]
        assert len(colour) == 3 and all(isinstance(part, int) and 0 <= part <= 255 for part in colour)
        assert ":" not in properties["classification"]["name"]  # which QuPath would take for a class within a class
        assert all(isinstance(value, int | float) for value in properties["measurements"].values())
    assert len(ids) == 8


def test_a_region_has_its_place_group_and_scores(results):
    first, second, *_ = _export(results)["a"]
    # x of -10 and 54, y of 50 at level 0, from the bounds' corner (100, 40)
    assert first["geometry"]["coordinates"][0][0] == [-110, 10] and first["geometry"]["coordinates"][0][2] == [-46, 42]
    assert second["geometry"]["coordinates"][0][0] == [-46, 10]
    assert first["properties"]["name"] == "a0"
    assert first["properties"]["classification"] == {"name": "Group 3", "color": [204, 121, 167]}
    assert first["properties"]["measurements"] == {
        **{"group": 3, "prototype": 0, "similarity to prototype": 0.5, "similarity of prototype to group": 0.75},
        **{"slide: grade: low": 0.5, "slide: grade: high": 0.5},
        **{"slide: share of group 0": 0.5, "slide: share of group 3": 0.5},
    }


def test_a_slide_without_bounds_counts_from_level_0_and_has_its_patients_score(results):
    region = _export(results)["b"][1]
    assert region["geometry"]["coordinates"][0][0] == [54, 50]
    assert region["properties"]["measurements"]["slide: grade: high"] == 0.875
    assert region["properties"]["classification"]["name"] == "Group 17"


def test_no_tile_is_taken_for_tissue(results):
    _export(results)
    assert not any(is_annotation(feature) for feature in read_features(str(results / "qupath/a.geojson")))


def test_the_file_of_a_slide_that_has_left_is_removed_and_a_file_of_the_users_is_not(results):
    whole = read_table(results / "assignments.parquet")
    _export(results)
    mine = results / "qupath/a annotations.geojson"
    mine.write_text('{"type": "mine"}')
    (results / "qupath/index.parquet").unlink()  # as Snakemake does before the rule runs again
    write_table(results / "assignments.parquet", whole.slice(0, 4), schemas.ASSIGNMENTS)
    assert set(_export(results)) == {"a"} and not (results / "qupath/b.geojson").exists()
    assert mine.read_text() == '{"type": "mine"}'


def test_the_index_lists_the_files_and_the_same_tables_give_the_same_bytes(results):
    first = _export(results)
    index = read_table(results / "qupath/index.parquet").to_pylist()
    assert set(first) == {"a", "b"} and [row["file"] for row in index] == ["a.geojson", "b.geojson"]
    before = (results / "qupath/a.geojson").read_bytes()
    assert _export(results) == first and (results / "qupath/a.geojson").read_bytes() == before


def test_a_number_that_json_lacks_is_left_out(results):
    rows = [_prediction("a", "of_a", 0, [float("nan"), 0.5])]
    meta = {"task": "grade", "kind": "classification", "classes": ["low", "high"]}
    write_table(results / "predictions.parquet", rows, PREDICTIONS, meta)
    measured = _export(results)["a"][0]["properties"]["measurements"]
    assert "slide: grade: low" not in measured and measured["slide: grade: high"] == 0.5


def test_risks_of_models_without_a_common_scale_are_ranked_within_each_fit(results):
    """Two repeats of two folds: the second model of either tells the same of its patients, from 100 upwards."""
    of_fit = {(0, 0): {"a": 3.0, "b": 1.0}, (0, 1): {"c": 100.0, "d": 101.0}, (1, 0): {"a": 2.0, "c": 2.0, "d": 1.0}}
    rows = [
        _prediction(slide, f"of_{slide}", repeat, None, head="cox", risk=risk, fold=fold)
        for (repeat, fold), risks in of_fit.items()
        for slide, risk in risks.items()
    ]
    meta = {"task": "survival", "kind": "survival", "classes": []}
    write_table(results / "risk.parquet", rows, PREDICTIONS, meta)
    patients = {slide: f"of_{slide}" for slide in "abcde"}
    found = slide_scores([results / "risk.parquet"], {"survival": "cox"}, patients)
    ranks = {"a": (3 / 4 + 4 / 6) / 2, "b": 1 / 4, "c": (1 / 4 + 4 / 6) / 2, "d": (3 / 4 + 1 / 6) / 2}
    assert found.pop("e") == {}
    assert found == {slide: {"survival: rank of risk": pytest.approx(rank)} for slide, rank in ranks.items()}


def test_a_value_keeps_its_unit(results):
    rows = [
        _prediction("a", "of_a", repeat, None, head="abmil", predicted=value) for repeat, value in enumerate((3, 4))
    ]
    write_table(results / "value.parquet", rows, PREDICTIONS, {"task": "age", "kind": "regression", "classes": []})
    assert slide_scores([results / "value.parquet"], {"age": "abmil"}, {"a": "of_a"}) == {"a": {"age": 3.5}}


def test_colours_differ_and_come_again():
    assert len(set(map(red_green_blue, GROUP_COLOURS))) == len(GROUP_COLOURS) == 16
    assert group_colour(16) == group_colour(0) and red_green_blue("#0072B2") == (0, 114, 178)
