import base64
import io

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from workflow_scripts.core.colours import red_green_blue
from workflow_scripts.core.tables import write_table
from workflow_scripts.core.tensors import to_column
from workflow_scripts.report.attention_layer import (
    attention_layer,
    attention_layers,
    patch_raster,
    raster_png,
    relative_attention,
)
from workflow_scripts.report.inputs import Results
from workflow_scripts.report.palette import SHARES
from workflow_scripts.slpd.attention_maps import attention_schema


def _places(*corners, size=40):
    ids = [f"r{number}" for number in range(len(corners))]
    x, y = zip(*corners, strict=True)
    return pa.table({"region_id": ids, "x": x, "y": y, "size_x": [size] * len(x), "size_y": [size] * len(x)})


def test_an_even_share_is_one_however_many_patches_are_hidden():
    attention = np.full((2, 3, 2, 2), 0.25, np.float32)
    attention[1] = np.array([[0.5, 0.5], [0, 0]])
    found = relative_attention(attention)
    np.testing.assert_allclose(found[0], 1)
    np.testing.assert_allclose(found[1], [[1, 1], [np.nan, np.nan]])


def test_what_the_class_token_gives_itself_takes_nothing_from_the_patches():
    attention = np.random.default_rng(0).dirichlet(np.ones(17), (3, 2))[:, :, 1:].reshape(3, 2, 4, 4)
    attention[2, :, :2] = 0
    found = relative_attention(attention.astype(np.float32))
    np.testing.assert_allclose(np.nanmean(found, axis=(1, 2)), 1, rtol=1e-6)
    shares = attention.sum(axis=1) / attention.sum(axis=(1, 2, 3))[:, None, None]
    np.testing.assert_allclose(found[:2], 16 * shares[:2], rtol=1e-5)
    assert np.isnan(relative_attention(np.zeros((1, 2, 4, 4), np.float32))).all()


def test_colours_span_four_fifths_to_five_quarters_at_least():
    random = np.random.default_rng(0)
    even = 1 / 17 + random.uniform(-0.001, 0.001, (2, 1, 4, 4)).astype(np.float32)
    layer = attention_layer(_places((0, 0), (40, 0)), ["r0", "r1"], even, 10**6)
    assert (layer["low"], layer["top"]) == (0.8, 1.25)
    uneven = random.dirichlet(np.full(16, 0.3), (2, 1)).reshape(2, 1, 4, 4).astype(np.float32)
    layer = attention_layer(_places((0, 0), (40, 0)), ["r0", "r1"], uneven, 10**6)
    assert layer["low"] < 0.8 and layer["top"] > 1.25


def test_patches_lie_where_their_regions_do_and_overlaps_have_the_mean():
    values = np.arange(8, dtype=np.float32).reshape(2, 2, 2)
    apart = patch_raster(_places((-20, 100), (60, 100)), values)
    np.testing.assert_array_equal(apart.values, [[0, 1, np.nan, np.nan, 4, 5], [2, 3, np.nan, np.nan, 6, 7]])
    assert apart.box == [-20, 100, 120, 40]
    over = patch_raster(_places((0, 0), (20, 0)), values)
    np.testing.assert_array_equal(over.values, [[0, (1 + 4) / 2, 5], [2, (3 + 6) / 2, 7]])


def test_colours_run_from_low_to_high_and_hidden_patches_are_clear():
    values = np.array([[0.0, 0.5, 2.0], [np.nan, 1.5, 9.0]], np.float32)
    picture = np.asarray(Image.open(io.BytesIO(raster_png(values, 10**6, 0.5, 1.5))).convert("RGBA"))
    assert picture[1, 0, 3] == 0 and (picture[0, :, 3] == 255).all()
    for place, colour in (((0, 0), SHARES[0]), ((0, 1), SHARES[0]), ((0, 2), SHARES[-1]), ((1, 1), SHARES[-1])):
        assert tuple(picture[place][:3]) == red_green_blue(colour)


def test_a_large_picture_becomes_coarser_until_it_fits():
    values = np.random.default_rng(0).random((301, 400)).astype(np.float32)
    content = raster_png(values, 20_000, 0, 1)
    assert len(content) <= 20_000 and Image.open(io.BytesIO(content)).size in [(200, 151), (100, 76)]


def test_regions_are_found_by_id_and_others_have_no_value():
    attention = np.full((2, 1, 2, 2), 0.25, np.float32)
    attention[0, 0, 0, 0] = 0.5
    layer = attention_layer(_places((0, 0), (40, 0), (80, 0)), ["r2", "r0"], attention, 10**6)
    assert layer["peaks"] == [1.0, None, 1.6] and layer["box"] == [0, 0, 120, 40]
    picture = Image.open(io.BytesIO(base64.b64decode(layer["picture"].partition(",")[2]))).convert("RGBA")
    assert picture.size == (6, 2) and [picture.getpixel((x, 0))[3] for x in range(6)] == [255, 255, 0, 0, 255, 255]
    assert attention_layer(_places((0, 0)), ["other"], attention[:1], 10**6) is None


@pytest.mark.parametrize("slides", [["s01", "s02", "s20"], ["s05"]])
def test_pages_have_it_where_a_table_of_a_run_exists(results_folder, tmp_path, slides):
    root = tmp_path / "demo"
    (root / "pretrain/dino").mkdir(parents=True)
    (root / "regions").symlink_to(results_folder / "regions")
    inputs = Results(root)
    assert attention_layers(inputs, ["slpd", "dino"], slides) == (None, {})
    ids = [(s, row["region_id"]) for s in ("s01", "s02") for row in Results(results_folder).regions(s)]
    maps, schema = np.random.default_rng(0).random((len(ids), 2, 4, 4)).astype(np.float32), attention_schema(2, 4)
    columns = {"slide_id": [s for s, _ in ids], "region_id": [r for _, r in ids]}
    columns["attention"] = to_column(maps, schema.field("attention"))
    write_table(inputs.attention_path("dino"), columns, schema)
    run, found = attention_layers(inputs, ["slpd", "dino"], slides)
    assert set(found) == {"s01", "s02"} & set(slides) and run == ("dino" if found else None)
    for slide, layer in found.items():
        own = maps[[n for n, (s, _) in enumerate(ids) if s == slide]]
        shares = own.mean(1) / own.mean(1).sum((1, 2))[:, None, None]
        assert layer["peaks"] == pytest.approx(16 * shares.max((1, 2)), abs=0.006)
