import numpy as np
import pytest
from PIL import Image

from workflow_scripts.core.status import SlideError
from workflow_scripts.wsi.overview import read_at_scale
from workflow_scripts.wsi.pixels import probe, read_overview, read_region
from workflow_scripts.wsi.slide import open_slide


@pytest.fixture
def picture(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 250, (100, 150, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "p.png")
    return tmp_path / "p.png", pixels


def test_a_region_inside_the_slide(picture):
    path, pixels = picture
    with open_slide(path) as slide:
        region = read_region(slide, 20, 10, 64, 64, 4, 16)
    np.testing.assert_array_equal(region.rgb, pixels[10:74, 20:84])
    assert region.read_ok.shape == (4, 4) and region.read_ok.all()


@pytest.mark.parametrize(("x", "y"), [(-20, -8), (110, 70), (-20, 70)])
def test_a_region_that_sticks_out_is_white_and_flagged_there(picture, x, y):
    path, pixels = picture
    with open_slide(path) as slide:
        region = read_region(slide, x, y, 64, 64, 4, 16)
    wide = np.full((300, 350, 3), 255, np.uint8)
    wide[100:200, 100:250] = pixels
    inside = np.zeros((300, 350))
    inside[100:200, 100:250] = 1
    window = np.s_[100 + y : 164 + y, 100 + x : 164 + x]
    np.testing.assert_array_equal(region.rgb, wide[window])
    share = inside[window].reshape(4, 16, 4, 16).mean(axis=(1, 3))
    np.testing.assert_array_equal(region.read_ok, share >= 0.5)


def test_a_region_far_outside_is_unreadable(picture):
    with open_slide(picture[0]) as slide:
        region = read_region(slide, 500, 500, 64, 64, 4, 16)
    assert not region.read_ok.any() and (region.rgb == 255).all()


@pytest.mark.parametrize("x", [-31.7, 0.0, 97.3])
def test_padding_and_resampling_together_keep_every_pixel_in_place(tmp_path, x):
    ramp = np.broadcast_to(np.linspace(0, 250, 200)[None, :, None], (200, 200, 3))
    Image.fromarray(np.rint(ramp).astype(np.uint8)).save(tmp_path / "ramp.png")
    with open_slide(tmp_path / "ramp.png") as slide:
        region = read_region(slide, x, 20, 120.8, 120.8, 4, 16)
    centres = x + (np.arange(64) + 0.5) * 120.8 / 64
    inside = (centres > 4) & (centres < 196)
    expected = (centres - 0.5) * 250 / 199
    assert np.abs(region.rgb[30, inside, 0] - expected[inside]).max() <= 2


def test_one_corrupt_tile_masks_only_its_patches(data, bad):
    box = (100, 300, 2048, 2048, 16, 128)
    with open_slide(data / "slides" / "CMU-1-Small-Region.svs") as slide:
        good = read_region(slide, *box)
    with open_slide(bad / "corrupt_one_tile.svs") as slide:
        damaged = read_region(slide, *box)
    assert good.read_ok.all()
    lost = ~damaged.read_ok
    assert 1 <= lost.sum() <= 9  # a 240 px tile touches at most 3 x 3 patches of 128 px
    mask = np.kron(lost, np.ones((128, 128), bool))
    assert (damaged.rgb[mask] == 255).all()
    np.testing.assert_array_equal(damaged.rgb[~mask], good.rgb[~mask])


def test_overview_of_a_damaged_slide(data, bad):
    with open_slide(data / "slides" / "CMU-1-Small-Region.svs") as slide:
        good, all_ok = read_overview(slide, 138, 185)
    with open_slide(bad / "corrupt_one_tile.svs") as slide:
        damaged, ok = read_overview(slide, 138, 185)
    assert all_ok.all() and 0 < (~ok).mean() < 0.04
    assert np.abs(good[ok].astype(int) - damaged[ok]).max() <= 60
    assert np.mean(good[ok] == damaged[ok]) > 0.95


def test_a_slide_without_readable_pixels(bad):
    with open_slide(bad / "corrupt_all_tiles.svs") as slide:
        for read in (probe, lambda s: read_overview(s, 138, 185)):
            with pytest.raises(SlideError) as caught:
                read(slide)
            assert caught.value.reason == "read_error"


def test_probe_forgives_one_bad_tile(bad):
    with open_slide(bad / "corrupt_one_tile.svs") as slide:
        probe(slide)


def _without_tiles(source, path, page, count):
    """A copy of a TIFF with bytes of 0 in the last `count` tiles of a page."""
    import tifffile

    with tifffile.TiffFile(source) as file:
        spans = list(zip(file.pages[page].dataoffsets, file.pages[page].databytecounts, strict=True))[-count:]
    content = bytearray(source.read_bytes())
    for start, length in spans:
        content[start : start + length] = bytes(length)
    path.write_bytes(content)
    return path


def test_damage_in_coarse_levels_is_read_from_finer_ones(data, tmp_path):
    import pyvips

    with open_slide(data / "slides" / "CMU-1-Small-Region.svs") as slide:
        pixels = slide.read(0, 0, slide.width, slide.height, slide.width, slide.height)
    options = {"tile": True, "pyramid": True, "compression": "jpeg", "Q": 90, "tile_width": 128, "tile_height": 128}
    pyvips.Image.new_from_array(pixels).tiffsave(str(tmp_path / "good.tif"), **options)
    # Level 3 loses half of its tiles, level 2 some of the same place, level 0 two tiles at the corner.
    damaged = _without_tiles(tmp_path / "good.tif", tmp_path / "a.tif", 3, 4)
    damaged = _without_tiles(damaged, tmp_path / "b.tif", 2, 6)
    with open_slide(tmp_path / "good.tif") as slide:
        good = read_at_scale(slide, 0.499, 0.499, 8.0)
        assert slide.finer_levels(8, 8) == [2, 1, 0] and slide.finer_levels(1, 1) == []
    with open_slide(damaged) as slide:
        mended = read_at_scale(slide, 0.499, 0.499, 8.0)
        region = read_region(slide, 1024, 2048, 1024, 512, 2, 64)
    assert mended.read_ok.all() and mended.unreadable_fraction == 0 and region.read_ok.all()
    assert np.abs(mended.rgb.astype(int) - good.rgb).mean() < 2 and not np.array_equal(mended.rgb, good.rgb)
    for page in (0, 1):
        damaged = _without_tiles(damaged, tmp_path / f"page_{page}.tif", page, 1)
    with open_slide(damaged) as slide:
        lost = read_at_scale(slide, 0.499, 0.499, 8.0)
    assert 0 < lost.unreadable_fraction < 0.02


def test_an_unreadable_pixel_has_the_colour_of_the_nearest_readable_one(data, bad):
    with open_slide(bad / "corrupt_one_tile.svs") as slide:
        view = read_at_scale(slide, 0.499, 0.499, 8.0)
    readable = np.argwhere(view.read_ok)
    for row, column in np.argwhere(~view.read_ok):
        distance = ((readable - (row, column)) ** 2).sum(axis=1)
        nearest = readable[distance == distance.min()]
        assert (view.rgb[tuple(nearest.T)] == view.rgb[row, column]).all(axis=1).any()
