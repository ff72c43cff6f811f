import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from workflow_scripts.core.tables import read_table, write_table
from workflow_scripts.tissue.polygons import TISSUE_SCHEMA, from_wkb, geojson, mask_polygons, rasterise, tissue_rows

MASKS = arrays(bool, st.tuples(st.integers(1, 14), st.integers(1, 14)))


@settings(max_examples=100, deadline=None)
@given(MASKS, st.floats(1, 40), st.floats(1, 40))
def test_area_and_round_trip_of_any_mask(mask, step_x, step_y):
    width, height = round(mask.shape[1] * step_x), round(mask.shape[0] * step_y)
    polygons = mask_polygons(mask, width, height)
    assert all(polygon.is_valid for polygon in polygons)
    pixel = width / mask.shape[1] * height / mask.shape[0]
    assert sum(p.area for p in polygons) == pytest.approx(mask.sum() * pixel)
    np.testing.assert_array_equal(rasterise(polygons, mask.shape, width, height), mask)


def test_a_ring_keeps_its_hole():
    mask = np.zeros((10, 12), bool)
    mask[2:8, 3:9] = True
    mask[4:6, 5:7] = False
    (polygon,) = mask_polygons(mask, 120, 100)
    assert polygon.bounds == (30, 20, 90, 80)
    assert shapely.Polygon(polygon.interiors[0]).bounds == (50, 40, 70, 60)
    assert polygon.area == 3600 - 400


def test_rasterise_takes_any_polygon():
    # An independent reference: whether each pixel's centre is inside, by shapely's own predicate.
    polygon = shapely.Point(51.3, 47.7).buffer(33.1) - shapely.Point(40, 50).buffer(9.9)
    mask = rasterise([polygon], (40, 50), 100, 80)
    x, y = np.meshgrid((np.arange(50) + 0.5) * 2, (np.arange(40) + 0.5) * 2)
    np.testing.assert_array_equal(mask, shapely.contains_xy(polygon, x, y))


def test_rasterise_clips_what_sticks_out():
    assert rasterise([shapely.box(-50, -50, 500, 500)], (7, 9), 90, 70).all()
    assert not rasterise([shapely.box(200, 0, 300, 70)], (7, 9), 90, 70).any()


def test_geoparquet_file(tmp_path):
    mask = np.zeros((10, 10), bool)
    mask[1:4, 1:4] = mask[6:9, 5:9] = True
    polygons = mask_polygons(mask, 100, 100)
    write_table(tmp_path / "t.parquet", tissue_rows("s1", polygons, 0.5, 0.25), TISSUE_SCHEMA)
    geo = json.loads(pq.read_schema(tmp_path / "t.parquet").metadata[b"geo"])
    assert geo["primary_column"] == "geometry" and geo["columns"]["geometry"]["encoding"] == "WKB"
    table = read_table(tmp_path / "t.parquet")
    assert sorted(table["area_um2"].to_pylist()) == [900 * 0.125, 1200 * 0.125]
    np.testing.assert_array_equal(rasterise(from_wkb(table["geometry"]), mask.shape, 100, 100), mask)


def test_an_empty_mask_gives_valid_empty_files(tmp_path):
    assert mask_polygons(np.zeros((4, 4), bool), 40, 40) == []
    assert not rasterise([], (4, 5), 50, 40).any()
    assert json.loads(geojson([], 0.5, 0.5)) == {"type": "FeatureCollection", "features": []}
    write_table(tmp_path / "t.parquet", [], TISSUE_SCHEMA)
    assert from_wkb(read_table(tmp_path / "t.parquet")["geometry"]) == []


def test_geojson_closes_its_rings():
    mask = np.zeros((5, 5), bool)
    mask[1:4, 1:4] = True
    mask[2, 2] = False
    (feature,) = json.loads(geojson(mask_polygons(mask, 50, 50), 0.5, 0.5))["features"]
    assert feature["properties"]["objectType"] == "annotation"
    rings = feature["geometry"]["coordinates"]
    assert len(rings) == 2 and all(ring[0] == ring[-1] for ring in rings)
    assert feature["properties"]["area_um2"] == 800 * 0.25
