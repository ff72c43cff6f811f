"""Masks given by the user: what counts as tissue, and what is refused with which advice."""

import json

import numpy as np
import pytest
import shapely
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from workflow_scripts.core.status import SlideError
from workflow_scripts.tissue.mask_image import read_mask_image
from workflow_scripts.tissue.polygons import geojson, mask_polygons, rasterise
from workflow_scripts.tissue.user_masks import read_user_mask

WIDTH, HEIGHT = 1000, 600


def _feature(box, name=None, **properties):
    if name is not None:
        properties["classification"] = {"name": name}
    return {"type": "Feature", "geometry": shapely.geometry.mapping(shapely.box(*box)), "properties": properties}


def _read(tmp_path, content, name="s.geojson"):
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_user_mask([str(path)], (60, 100), WIDTH, HEIGHT)


def _area(polygons):
    assert all(polygon.geom_type == "Polygon" and polygon.is_valid for polygon in polygons)
    assert shapely.union_all(polygons).area == pytest.approx(sum(polygon.area for polygon in polygons))
    return sum(polygon.area for polygon in polygons)


def test_our_own_geojson_comes_back_as_it_was(tmp_path):
    mask = np.random.default_rng(0).random((60, 100)) > 0.4
    polygons = mask_polygons(mask, WIDTH, HEIGHT)
    found = _read(tmp_path, geojson(polygons, 0.5, 0.5))
    assert _area(found) == pytest.approx(mask.sum() * 100)
    np.testing.assert_array_equal(rasterise(found, mask.shape, WIDTH, HEIGHT), mask)


@pytest.mark.parametrize("wrap", [lambda f: {"type": "FeatureCollection", "features": f}, lambda f: f])
def test_classes_decide_what_is_tissue(tmp_path, wrap):
    features = [
        _feature((0, 0, 100, 100)),  # no class
        _feature((50, 0, 150, 100), "Tumor"),  # overlaps the first
        _feature((200, 0, 300, 100), "Region*"),
        _feature((0, 0, 10, 10), "Ignore*"),
        _feature((10, 0, 20, 10), "ARTEFACT"),
        _feature((20, 0, 30, 10)) | {"properties": {"classification": {"names": ["Glass"]}}},
        _feature((400, 0, 500, 100), objectType="detection"),
        {"type": "Feature", "geometry": {"type": "LineString", "coordinates": [[0, 0], [9, 9]]}, "properties": {}},
        {"type": "Feature", "geometry": {"type": "Point", "coordinates": [5, 5]}},
    ]
    assert _area(_read(tmp_path, wrap(features))) == 150 * 100 + 100 * 100 - 3 * 100


def test_shapes_are_mended_and_cut_to_the_slide(tmp_path):
    bow_tie = {"type": "Polygon", "coordinates": [[[0, 0], [100, 100], [100, 0], [0, 100], [0, 0]]]}
    assert _area(_read(tmp_path, {"type": "Feature", "geometry": bow_tie, "properties": {}})) == 5000
    assert _area(_read(tmp_path, [_feature((900, 500, 1050, 620))])) == 100 * 100
    many = {"type": "MultiPolygon", "coordinates": [bow_tie["coordinates"], [[[200, 0], [300, 0], [300, 9], [200, 0]]]]}
    assert _area(_read(tmp_path, [{"type": "Feature", "geometry": many, "properties": None}])) == 5000 + 450


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "cannot be read as JSON"),
        ("7", "is no GeoJSON"),
        ('{"type": "FeatureCollection", "features": []}', "no polygon that is tissue"),
        (json.dumps([_feature((0, 0, 9, 9), "Ignore*")]), "no polygon that is tissue"),
        (json.dumps([_feature((5000, 5000, 9000, 9000))]), "lies mostly outside the slide of 1000 x 600 px"),
        ('{"geometry": {"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]}}', "has a broken Polygon"),
        ('{"geometry": {"type": "Polygon", "coordinates": [["a"]]}}', "has a broken Polygon"),
        ('{"geometry": {"type": "Polygon", "coordinates": [[[0, 0], [NaN, 1], [2, 2], [0, 0]]]}}', "broken Polygon"),
        ('{"geometry": {"type": "Polygon"}}', "has a broken Polygon"),
    ],
)
def test_a_broken_geojson_is_refused_by_name(tmp_path, content, words):
    with pytest.raises(SlideError) as caught:
        _read(tmp_path, content)
    assert caught.value.reason == "bad_mask" and words in caught.value.detail
    assert str(tmp_path / "s.geojson") in caught.value.detail


def test_two_masks_of_one_slide_are_refused():
    with pytest.raises(SlideError, match="several masks") as caught:
        read_user_mask(["m/s.geojson", "m/s.png"], (60, 100), WIDTH, HEIGHT)
    assert caught.value.reason == "bad_mask" and "m/s.png" in caught.value.detail


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.integers(1, 3))
def test_a_picture_of_the_raster_or_whole_parts_of_it_is_the_mask(tmp_path_factory, seed, up, rows):
    mask = np.random.default_rng(seed).random((7 * rows, 10 * rows)) > 0.5
    path = tmp_path_factory.mktemp("mask") / "s.png"
    Image.fromarray(mask.repeat(up, axis=0).repeat(up, axis=1)).save(path)  # 1 bit a pixel
    np.testing.assert_array_equal(read_mask_image(str(path), mask.shape, 1000 * rows, 700 * rows), mask)


@pytest.mark.parametrize("suffix", ["png", "tif", "tiff"])
def test_a_finer_picture_is_averaged_by_area_in_strips(tmp_path, monkeypatch, suffix):
    from workflow_scripts.tissue import mask_image

    fine = np.random.default_rng(1).random((90, 150)) > 0.5
    path = tmp_path / f"s.{suffix}"
    if suffix == "png":
        Image.fromarray(np.stack([fine * 255] * 3, axis=2).astype(np.uint8)).save(path)
    else:
        tifffile.imwrite(path, fine.astype(np.uint8), tile=(16, 16), compression="zlib")
    # Shares of a fine pixel by brute force: 90 -> 12 rows, 150 -> 20 columns, 7.5 x 7.5 px each, halves of px split.
    doubled = fine.repeat(2, axis=0).repeat(2, axis=1)
    cover = doubled.reshape(12, 15, 20, 15).mean(axis=(1, 3))
    expected, sure = cover >= 0.5, np.abs(cover - 0.5) > 0.01
    for strip in (16_000_000, 500):
        monkeypatch.setattr(mask_image, "_STRIP_PX", strip)
        found = read_mask_image(str(path), (12, 20), WIDTH, HEIGHT)
        np.testing.assert_array_equal(found[sure], expected[sure])


def test_proportions_may_be_off_by_rounding_alone(tmp_path):
    for height, good in ((60, True), (61, True), (59, True), (62, False), (58, False)):
        path = tmp_path / f"{height}.png"
        Image.fromarray(np.ones((height, 100), bool)).save(path)
        if good:
            assert read_mask_image(str(path), (60, 100), WIDTH, HEIGHT).all()
            continue
        with pytest.raises(SlideError, match="in its proportions") as caught:
            read_mask_image(str(path), (60, 100), WIDTH, HEIGHT)
        assert caught.value.reason == "bad_mask" and str(path) in caught.value.detail


def test_a_picture_that_is_no_mask_is_refused(tmp_path):
    grey, text = tmp_path / "grey.png", tmp_path / "text.png"
    Image.fromarray(np.arange(60 * 100).reshape(60, 100).astype(np.uint8)).save(grey)
    text.write_text("no picture")
    for path, words in ((grey, "more than the two values"), (text, "cannot be read")):
        with pytest.raises(SlideError, match=words) as caught:
            read_mask_image(str(path), (60, 100), WIDTH, HEIGHT)
        assert caught.value.reason == "bad_mask" and str(path) in caught.value.detail
