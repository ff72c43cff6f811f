import numpy as np
import openslide
import pytest
import tifffile
from PIL import Image

from workflow_scripts.core.status import SlideError
from workflow_scripts.wsi import slide as slide_module
from workflow_scripts.wsi.reader_plain_image import open_file as open_plain
from workflow_scripts.wsi.slide import Slide, open_slide, true_downsample


@pytest.fixture
def cmu(data):
    return data / "slides" / "CMU-1-Small-Region.svs"


def _openslide_pixels(path, x, y, w, h, level=0):
    with openslide.OpenSlide(str(path)) as handle:
        return np.asarray(handle.read_region((x, y), level, (w, h)).convert("RGB"))


def test_level_0_is_what_openslide_gives(cmu):
    with open_slide(cmu) as slide:
        pixels = slide.read(700, 1100, 321, 211, 321, 211)
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, _openslide_pixels(cmu, 700, 1100, 321, 211))


def test_a_level_read_at_its_own_scale_is_not_resampled(data):
    path = data / "composed" / "ln_c16_cc0" / "ln_01.svs"
    with open_slide(path) as slide:
        assert slide.level_downsamples == [1, 2, 4, 8, 16]
        pixels = slide.read(800, 1200, 1024, 512, 256, 128)
    np.testing.assert_array_equal(pixels, _openslide_pixels(path, 800, 1200, 256, 128, level=2))


def test_halving_is_the_block_mean(cmu):
    with open_slide(cmu) as slide:
        half = slide.read(701, 1101, 600, 400, 300, 200)
    full = _openslide_pixels(cmu, 701, 1101, 600, 400).astype(float)
    mean = full.reshape(200, 2, 300, 2, 3).mean(axis=(1, 3))
    assert np.abs(half - mean).max() <= 1


@pytest.mark.parametrize("factor", [1.887, 2.4, 3.7])
def test_downsampling_by_a_broken_factor_does_not_alias(tmp_path, factor):
    # A one-pixel checkerboard is above the coarser grid's Nyquist frequency: all that may be left is its mean.
    board = (np.indices((900, 900)).sum(axis=0) % 2 * 255).astype(np.uint8)
    Image.fromarray(np.stack([board] * 3, axis=2)).save(tmp_path / "board.png")
    size = 100 * factor
    with open_slide(tmp_path / "board.png") as slide:
        pixels = slide.read(200.3, 200.6, size, size, 100, 100).astype(float)
    assert np.abs(pixels.mean() - 127.5) < 1.5
    assert pixels.std() < 12  # nearest neighbour would give 127


@pytest.mark.parametrize("factor", [1.0, 1.3, 1.887, 2.0, 3.1])
@pytest.mark.parametrize("shift", [0.0, 0.4])
def test_a_ramp_stays_where_it_is(tmp_path, factor, shift):
    # The value of a linear ramp at an output pixel is the ramp at that pixel's centre, whatever the filter.
    ramp = np.broadcast_to(np.linspace(0, 255, 1021)[None, :, None], (80, 1021, 3))
    Image.fromarray(np.rint(ramp).astype(np.uint8)).save(tmp_path / "ramp.png")
    with open_slide(tmp_path / "ramp.png") as slide:
        pixels = slide.read(100 + shift, 10, 200 * factor, 20 * factor, 200, 20)
    centres = 100 + shift + (np.arange(200) + 0.5) * factor
    expected = (centres - 0.5) * 255 / 1020
    assert np.abs(pixels[10, :, 0] - expected).max() <= 1


def test_reading_in_strips_changes_no_pixel(cmu, monkeypatch):
    boxes = [(0, 0, 2220, 2967, 277, 370), (100.5, 60.25, 1500, 1600, 600, 640), (10, 10, 1000, 1000, 500, 500)]
    with open_slide(cmu) as slide:
        whole = [slide.read(*box) for box in boxes]
        monkeypatch.setattr(slide_module, "_MAX_SOURCE_PX", 300_000)
        strips = [slide.read(*box) for box in boxes]
    for one, other in zip(whole, strips, strict=True):
        assert np.abs(one.astype(int) - other).max() <= 1


def test_two_neighbours_join_without_a_seam(cmu):
    # Two halves read one by one equal the whole: the filter sees the pixels on the other side of the border.
    with open_slide(cmu) as slide:
        whole = slide.read(500, 900, 483 * 2, 483, 512, 256)
        left, right = (slide.read(500 + 483 * i, 900, 483, 483, 256, 256) for i in range(2))
    assert np.abs(whole.astype(int) - np.concatenate([left, right], axis=1)).max() <= 1


def test_the_nearest_finer_level_is_read(data):
    with open_slide(data / "composed" / "ln_c16_cc0" / "ln_00.svs") as slide:
        assert [slide._level_for(s, s) for s in (0.5, 1, 1.9, 2, 3.99, 4, 100)] == [0, 0, 0, 1, 1, 2, 4]


@pytest.mark.parametrize(
    ("size", "level", "expected"), [(4443, 1110, 4.0), (4443, 1111, 4.0), (2500, 312, 8.0), (1000, 400, 2.5)]
)
def test_downsamples_are_whole_where_the_sizes_allow(size, level, expected):
    assert true_downsample(size, level) == expected


@pytest.mark.parametrize("box", [(-1, 0, 10, 10), (0, 0, 2221, 10), (0, 2960, 10, 10), (0, 0, 0, 10)])
def test_rectangles_outside_the_slide_are_refused(cmu, box):
    with open_slide(cmu) as slide, pytest.raises(ValueError, match="not inside"):
        slide.read(*box, 5, 5)


def test_transparent_pixels_lie_on_white(tmp_path):
    pixels = np.zeros((40, 40, 4), np.uint8)
    pixels[:, 20:] = (10, 20, 30, 255)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    with open_slide(tmp_path / "a.png") as slide:
        read = slide.read(0, 0, 40, 40, 40, 40)
    assert (read[:, :20] == 255).all() and (read[:, 20:] == (10, 20, 30)).all()


def test_ome_tiff_is_read_behind_the_same_interface(data):
    path = data / "slides" / "OS-2-ndpi.ome.tif"
    with open_slide(path) as slide:
        assert (slide.vendor, slide.width, slide.height) == ("plain-image", 2202, 2202)
        pixels = slide.read(300, 400, 128, 64, 128, 64)
    page = tifffile.imread(path)
    np.testing.assert_array_equal(pixels, page[400:464, 300:428])


def test_plain_tiffs_of_every_layout(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (150, 210, 3), dtype=np.uint8)
    layouts = {"tiles": {"tile": (64, 48)}, "strips": {"rowsperstrip": 7}, "deflate": {"compression": "zlib"}}
    for name, options in layouts.items():
        tifffile.imwrite(tmp_path / f"{name}.ome.tif", pixels, photometric="rgb", **options)
        backend = open_plain(str(tmp_path / f"{name}.ome.tif"), b"II*\0")
        for x, y, w, h in ((0, 0, 210, 150), (47, 63, 2, 2), (100, 33, 110, 117)):
            np.testing.assert_array_equal(np.asarray(backend.read(0, x, y, w, h)), pixels[y : y + h, x : x + w])


def test_an_ome_pyramid_gives_its_levels(tmp_path):
    with tifffile.TiffWriter(tmp_path / "p.ome.tif", ome=True) as writer:
        big = np.full((256, 384, 3), 100, np.uint8)
        writer.write(big, subifds=1, photometric="rgb", tile=(64, 64), resolution=(20_000, 20_000), resolutionunit=3)
        writer.write(big[::2, ::2] + 1, subfiletype=1, photometric="rgb", tile=(64, 64))
    backend = open_plain(str(tmp_path / "p.ome.tif"), b"II*\0")
    assert backend.dimensions == [(384, 256), (192, 128)]
    assert backend.properties["tiff.XResolution"] == "20000.0"
    assert backend.properties["tiff.ResolutionUnit"] == "centimeter"
    assert (np.asarray(backend.read(1, 100, 100, 20, 20)) == 101).all()


def test_rgb_in_jpeg_tiles_keeps_its_colours(data):
    # Tissue stained with haematoxylin and eosin is purple: more blue and red than green.
    with open_slide(data / "slides" / "OS-1-detail.ome.tif") as slide:
        red, green, blue = slide.read(0, 0, 1101, 1101, 300, 300).mean(axis=(0, 1))
    assert green < red and green < blue


def test_the_slide_lives_on_after_a_read_error(bad):
    with open_slide(bad / "corrupt_one_tile.svs") as slide:
        before = slide.read(0, 0, 64, 64, 64, 64)
        with pytest.raises(SlideError) as caught:
            slide.read(0, 0, slide.width, slide.height, 222, 297)
        assert caught.value.reason == "read_error"
        np.testing.assert_array_equal(slide.read(0, 0, 64, 64, 64, 64), before)


def test_files_that_are_no_slides_say_what_they_seem_to_be(bad, tmp_path):
    expected = {
        bad / "empty.svs": "empty",
        bad / "html_404.svs": "HTML",
        bad / "lfs_pointer.svs": "Git LFS",
        bad / "truncated_50pct.svs": "truncated",
        bad / "truncated_97pct.svs": "truncated",
    }
    for path, word in expected.items():
        with pytest.raises(SlideError) as caught:
            Slide(path)
        assert caught.value.reason == "unreadable_file" and word in caught.value.detail
        assert "argument" not in caught.value.detail and "sequence" not in caught.value.detail
    with pytest.raises(SlideError) as caught:
        Slide(tmp_path / "nowhere.svs")
    assert caught.value.reason == "missing_file" and "nowhere.svs" in caught.value.detail


def test_a_grey_16_bit_image_is_no_brightfield_slide(tmp_path):
    tifffile.imwrite(tmp_path / "grey.tif", np.zeros((50, 60), np.uint16))
    with pytest.raises(SlideError) as caught:
        Slide(tmp_path / "grey.tif")
    assert caught.value.reason == "not_brightfield"
    assert "uint16" in caught.value.detail


def test_a_wrong_extension_does_not_matter(bad, cmu):
    reference = _openslide_pixels(cmu, 100, 100, 50, 50)
    for name in ("wrong_ext_svs_named.jpg", "wrong_ext_svs_named.tiff"):
        with open_slide(bad / name) as slide:
            np.testing.assert_array_equal(slide.read(100, 100, 50, 50, 50, 50), reference)
    with open_slide(bad / "wrong_ext_png_named.svs") as slide:
        assert (slide.width, slide.height) == (600, 400)
