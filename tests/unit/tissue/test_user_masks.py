"""Masks given by the user: what counts as tissue, and what is refused with which advice."""

import json

import numpy as np
import pytest
import shapely
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from workflow_scripts.core.overview import Bounds
from workflow_scripts.core.status import SlideError
from workflow_scripts.tissue.mask_image import read_mask_image
from workflow_scripts.tissue.polygons import geojson, mask_polygons, rasterise
from workflow_scripts.tissue.user_masks import read_user_mask

WIDTH, HEIGHT = 1000, 600


def _feature(box, name=None, **properties):
    if name is not None:
        properties["classification"] = {"name": name}
    return {"type": "Feature", "geometry": shapely.geometry.mapping(shapely.box(*box)), "properties": properties}


def _drawn(tmp_path, content, bounds=None):
    path = tmp_path / "s.geojson"
    content = content if isinstance(content, bytes | str) else json.dumps(content)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_user_mask([str(path)], (60, 100), WIDTH, HEIGHT, bounds)


def _read(tmp_path, content):
    return _drawn(tmp_path, content).polygons


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


@pytest.mark.parametrize(
    "name",
    [
        *("Glass", "background", "Holes", "Artefacts", "artifact", "PEN", "Pen marking", "PenMarking", "Pen marks"),
        *("Fold", "folds", "Tissue Fold", "Darkspot", "Dark spots", "Edge & Air Bubble", "air_bubble", "OOF"),
        *("Out of focus", "out-of-focus", "Necrosis*"),
    ],
)
def test_what_is_no_tissue_is_cut_out_in_any_spelling(tmp_path, name):
    assert _area(_read(tmp_path, [_feature((0, 0, 100, 100)), _feature((0, 0, 50, 100), name)])) == 5000
    with pytest.raises(SlideError, match="no polygon that is tissue"):
        _read(tmp_path, [_feature((0, 0, 50, 100), name)])


@pytest.mark.parametrize("name", ["Pencil", "Blurred tumour", "Edges", "Tumor", "Glassy", 5, ["a"]])
def test_every_other_class_is_tissue(tmp_path, name):
    assert _area(_read(tmp_path, [_feature((0, 0, 50, 100), name)])) == 5000


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
        (json.dumps([_feature((5000, 5000, 9000, 9000))]), "lies 100% outside the slide of 1000 x 600 px"),
        (json.dumps([_feature((950, 0, 9000, 100))]), "lies 99% outside the slide"),
        ('{"a": 1}\n{"b":', "cannot be read as JSON"),
        ("{}\n7", "is no GeoJSON"),
        ('{"geometry": {"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]}}', "has a broken Polygon"),
        ('{"geometry": {"type": "Polygon", "coordinates": [["a"]]}}', "has a broken Polygon"),
        ('{"geometry": {"type": "Polygon", "coordinates": [[[0, 0], [NaN, 1], [2, 2], [0, 0]]]}}', "broken Polygon"),
        ('{"geometry": {"type": "Polygon"}}', "has a broken Polygon"),
        # beyond sense
        (
            '{"type": "Polygon", "coordinates": [[[0, 0], [1' + "0" * 400 + ", 0], [1, 1], [0, 0]]]}",
            "has a broken Polygon",
        ),
        ('{"type": "Polygon", "coordinates": [[[0, 0], [1' + "0" * 9000 + ", 0], [1, 1], [0, 0]]]}", "cannot be read"),
        ('{"type": "GeometryCollection", "geometries": [' * 5000 + "]}" * 5000, "cannot be read as JSON"),
        ("[" * 100_000, "cannot be read as JSON"),
        ('{"type": "GeometryCollection", "geometries": 5}', "no polygon that is tissue"),
        ('{"type": "FeatureCollection", "features": {"a": 1}}', "no polygon that is tissue"),
        ('{"type": ["Polygon"], "coordinates": [[[0, 0], [9, 0], [9, 9], [0, 0]]]}', "no polygon that is tissue"),
        ("\x80\x04\x95pickle", "cannot be read as JSON"),
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
    found, labels = read_mask_image(str(path), mask.shape, 1000 * rows, 700 * rows)
    np.testing.assert_array_equal(found, mask)
    assert labels == 1


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
        found, _ = read_mask_image(str(path), (12, 20), WIDTH, HEIGHT)
        np.testing.assert_array_equal(found[sure], expected[sure])


def test_proportions_may_be_off_by_rounding_alone(tmp_path):
    for height, good in ((60, True), (61, True), (59, True), (62, False), (58, False)):
        path = tmp_path / f"{height}.png"
        Image.fromarray(np.ones((height, 100), bool)).save(path)
        if good:
            assert read_mask_image(str(path), (60, 100), WIDTH, HEIGHT)[0].all()
            continue
        with pytest.raises(SlideError, match="in its proportions") as caught:
            read_mask_image(str(path), (60, 100), WIDTH, HEIGHT)
        assert caught.value.reason == "bad_mask" and str(path) in caught.value.detail


def test_a_picture_that_is_no_mask_is_refused(tmp_path):
    grey, text = tmp_path / "grey.png", tmp_path / "text.png"
    Image.fromarray(np.arange(60 * 100).reshape(60, 100).astype(np.uint8)).save(grey)
    text.write_text("no picture")
    for path, words in ((grey, "other values than a mask's two"), (text, "cannot be read")):
        with pytest.raises(SlideError, match=words) as caught:
            read_mask_image(str(path), (60, 100), WIDTH, HEIGHT)
        assert caught.value.reason == "bad_mask" and str(path) in caught.value.detail


def _of_qupath(version, kind, box):
    """A feature as a version of QuPath writes an object of a kind."""
    feature = _feature(box, "Tumor", isLocked=False, measurements=[])
    if version in ("0.2", "0.2 in properties"):
        names = {"tmaCore": "TMACoreObject"}
        name = names.get(kind, f"Path{kind.capitalize()}Object")
        if version == "0.2":
            return feature | {"id": name}
        feature["properties"]["object_type"] = name
        return feature
    feature["properties"]["object_type" if version == "0.3" else "objectType"] = kind
    return feature | {"id": "4a36bb31-0000-4000-8000-000000000000"}


@pytest.mark.parametrize("version", ["0.2", "0.2 in properties", "0.3", "0.4"])
def test_of_every_version_of_qupath_annotations_alone_count(tmp_path, version):
    others = ("detection", "cell", "tile", "tmaCore")
    features = [_of_qupath(version, kind, (100 * i, 300, 100 * i + 50, 350)) for i, kind in enumerate(others)]
    features.append(_of_qupath(version, "annotation", (0, 0, 30, 40)))
    assert _area(_read(tmp_path, {"type": "FeatureCollection", "features": features})) == 30 * 40


def test_a_cell_is_told_by_its_nucleus_where_its_type_is_missing(tmp_path):
    cell = _feature((0, 0, 20, 20)) | {"nucleusGeometry": {"type": "Point", "coordinates": [1, 1]}}
    assert _area(_read(tmp_path, [cell, _feature((100, 100, 150, 150))])) == 50 * 50


def test_polygons_of_a_collection_count_beside_others_and_alone(tmp_path):
    inner = [shapely.geometry.mapping(shapely.box(*box)) for box in ((100, 0, 200, 50), (150, 0, 250, 50))]
    deeper = {"type": "GeometryCollection", "geometries": [inner[1], {"type": "Point", "coordinates": [1, 1]}]}
    collection = _feature((0, 0, 1, 1)) | {"geometry": {"type": "GeometryCollection", "geometries": [inner[0], deeper]}}
    assert _area(_read(tmp_path, [collection])) == 150 * 50
    assert _area(_read(tmp_path, [_feature((0, 0, 10, 10)), collection])) == 150 * 50 + 100
    empty = _feature((0, 0, 1, 1)) | {"geometry": {"type": "GeometryCollection", "geometries": None}}
    assert _area(_read(tmp_path, [_feature((0, 0, 10, 10)), empty])) == 100


def test_a_byte_order_mark_and_a_feature_a_line_are_read(tmp_path):
    features = [_feature((0, 0, 10, 10)), _feature((100, 100, 130, 130), "Ümlaut")]
    text = json.dumps(features, ensure_ascii=False)
    assert _area(_read(tmp_path, b"\xef\xbb\xbf" + text.encode())) == 100 + 900
    lines = "\r\n".join(json.dumps(feature) for feature in features) + "\n\n"
    assert _area(_read(tmp_path, lines)) == 100 + 900
    collections = "\n".join(json.dumps({"type": "FeatureCollection", "features": [feature]}) for feature in features)
    assert _area(_read(tmp_path, collections)) == 100 + 900


@pytest.mark.parametrize(
    ("box", "inside", "told"),
    [
        ((-1000, 0, 500, 600), 500 * 600, "67%"),
        ((-100, -100, 200, 200), 200 * 200, "56%"),
        ((900, 0, 1001, 100), 100 * 100, ""),
    ],
)
def test_what_reaches_over_the_slides_edge_is_cut_and_told(tmp_path, box, inside, told):
    drawn = _drawn(tmp_path, [_feature(box)])
    assert _area(drawn.polygons) == inside
    assert (told in drawn.note and "cut off" in drawn.note) if told else drawn.note == ""


def test_labels_of_a_picture_are_tissue_and_told(tmp_path):
    labels = np.zeros((60, 100), np.uint8)
    labels[10:20, 10:30], labels[20:30, 10:30] = 1, 2
    path = tmp_path / "s.png"
    Image.fromarray(labels).save(path)
    drawn = read_user_mask([str(path)], (60, 100), WIDTH, HEIGHT)
    assert _area(drawn.polygons) == 20 * 20 * 100 and "1 to 2" in drawn.note
    for values in ((0, 1, 17), (1, 2, 3)):  # too many for labels; no glass
        path = tmp_path / f"{values[-1]}.png"  # libvips keeps what it has read by its name
        Image.fromarray(np.resize(np.array(values, np.uint8), (60, 100))).save(path)
        with pytest.raises(SlideError, match="other values than a mask's two"):
            read_user_mask([str(path)], (60, 100), WIDTH, HEIGHT)


BOUNDS = Bounds(200, 100, 500, 400)


@pytest.mark.parametrize(
    ("properties", "corner"),
    [({"objectType": "annotation"}, (230, 140)), ({"isLocked": True}, (230, 140)), ({"tissue_id": 0}, (30, 40))],
)
def test_qupaths_coordinates_count_from_the_corner_of_the_bounds(tmp_path, properties, corner):
    drawn = _drawn(tmp_path, [_feature((30, 40, 50, 70), **properties)], BOUNDS)
    (polygon,) = drawn.polygons
    assert polygon.bounds[:2] == corner and polygon.area == 20 * 30
    assert ("(200, 100)" in drawn.note) == (corner != (30, 40))


def test_what_is_written_for_qupath_is_read_where_it_was(tmp_path):
    polygons = mask_polygons(np.random.default_rng(0).random((60, 100)) > 0.4, WIDTH, HEIGHT)
    inside = [polygon for polygon in polygons if shapely.box(200, 100, 700, 500).contains(polygon)]
    found = _drawn(tmp_path, geojson(inside, 0.5, 0.5, BOUNDS[:2]), BOUNDS).polygons
    assert shapely.union_all(found).equals(shapely.union_all(inside)) and inside


@pytest.mark.parametrize(("size", "box"), [((100, 80), (200, 100, 700, 500)), ((100, 60), (0, 0, 1000, 600))])
def test_a_picture_lies_over_the_bounds_or_the_slide_by_its_proportions(tmp_path, size, box):
    Image.new("1", size, 1).save(tmp_path / "s.png")
    drawn = read_user_mask([str(tmp_path / "s.png")], (60, 100), WIDTH, HEIGHT, BOUNDS)
    assert shapely.union_all(drawn.polygons).bounds == box and _area(drawn.polygons) == shapely.box(*box).area
    assert ("500 x 400 px at (200, 100)" in drawn.note) == (size == (100, 80))
