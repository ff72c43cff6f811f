"""Colour spaces, alpha and bit depth: tiles and strips give the same pixels, those of libtiff, Pillow and littlecms."""

import re

import numpy as np
import openslide
import pytest
import tifffile
from PIL import Image, ImageCms

from tests.unit.wsi.tiffs import texture
from workflow_scripts.core.status import SlideError
from workflow_scripts.wsi.slide import open_slide

PIXELS = texture(200, 144)
RNG = np.random.default_rng(3)
ALPHA = RNG.integers(0, 256, PIXELS.shape[:2], dtype=np.uint8)
LAYOUTS = {"tiles": {"tile": (64, 64)}, "strips": {"rowsperstrip": 16}}
LAYOUTS |= {f"{name}_lzw": layout | {"compression": "lzw"} for name, layout in LAYOUTS.items()}


def _read(path):
    with open_slide(path) as slide:
        return slide.read(0, 0, slide.width, slide.height, slide.width, slide.height).astype(int)


def _write(path, samples, layout, **options):
    tifffile.imwrite(path, samples, metadata=None, **LAYOUTS[layout], **options)
    return path


def _by_libtiff(path, samples, **options):
    """What OpenSlide, which reads through libtiff, makes of the same samples in tiles, on white."""
    tifffile.imwrite(path, samples, metadata=None, tile=(64, 64), **options)
    with openslide.OpenSlide(path) as handle:
        rgba = np.asarray(handle.read_region((0, 0), 0, handle.dimensions)).astype(int)
    cover = rgba[..., 3:]
    return (rgba[..., :3] * cover + 255 * (255 - cover)) / 255


def _palette():
    image = Image.fromarray(PIXELS).quantize(256)
    colours = np.array(image.getpalette(), np.uint16).reshape(256, 3).T * 257
    return np.array(image), {"photometric": "palette", "colormap": colours}


SPACES = {
    "rgb": (PIXELS, {"photometric": "rgb"}),
    "16_bits": (RNG.integers(0, 65536, PIXELS.shape, dtype=np.uint16), {"photometric": "rgb"}),
    "palette": _palette(),
    "cmyk": (RNG.integers(0, 256, (*PIXELS.shape[:2], 4), dtype=np.uint8), {"photometric": "separated"}),
    "unassociated": (np.dstack([PIXELS, ALPHA]), {"photometric": "rgb", "extrasamples": ["unassalpha"]}),
    "associated": (
        np.dstack([np.uint8(PIXELS * (ALPHA[..., None] / 255)), ALPHA]),
        {"photometric": "rgb", "extrasamples": ["assocalpha"]},
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("space", SPACES)
def test_what_libtiff_converts_is_converted_alike(tmp_path, space, layout):
    samples, options = SPACES[space]
    mine = _read(_write(tmp_path / "s.tif", samples, layout, **options))
    assert np.abs(mine - _by_libtiff(str(tmp_path / "tiles.tif"), samples, **options)).max() <= 2
    assert mine.std() > 10


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("photometric", ["rgb", "minisblack"])
@pytest.mark.parametrize("filler", [0, 255, 7])
def test_a_fourth_sample_without_a_meaning_is_no_alpha(tmp_path, layout, photometric, filler):
    samples = np.dstack([PIXELS, np.full(PIXELS.shape[:2], filler, np.uint8)])
    extra = {"extrasamples": ["unspecified"] * (1 if photometric == "rgb" else 3), "planarconfig": "contig"}
    path = _write(tmp_path / "s.tif", samples, layout, photometric=photometric, **extra)
    np.testing.assert_array_equal(_read(path), PIXELS)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("space", ["cielab", "icclab"])
def test_lab_is_converted_as_littlecms_does(tmp_path, layout, space):
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    muted = np.uint8(90 + PIXELS * 0.6)  # littlecms interpolates, which shows in deep colours
    lab = np.array(ImageCms.profileToProfile(Image.fromarray(muted), *profiles, outputMode="LAB"))
    back = ImageCms.profileToProfile(Image.fromarray(lab, "LAB"), *profiles[::-1], outputMode="RGB")
    if space == "icclab":  # 128 is added to a* and b*, which are signed in Pillow's as in CIELab
        lab = np.dstack([lab[..., 0], lab[..., 1:] ^ 128])
    mine = _read(_write(tmp_path / "s.tif", lab, layout, photometric=space))
    apart = np.abs(mine - np.asarray(back).astype(int))
    assert apart.max() <= 6 and apart.mean() < 0.5 and np.abs(mine - muted).mean() < 1.5


@pytest.mark.parametrize("layout", LAYOUTS)
def test_ycbcr_without_jpeg_is_converted_as_pillow_does(tmp_path, layout):
    samples = np.array(Image.fromarray(PIXELS).convert("YCbCr"))
    mine = _read(_write(tmp_path / "s.tif", samples, layout, photometric="ycbcr"))
    assert np.abs(mine - np.asarray(Image.fromarray(samples, "YCbCr").convert("RGB")).astype(int)).max() <= 2


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_is_not_brightfield_in_tiles_as_in_strips(tmp_path, layout, dtype):
    path = _write(tmp_path / "s.tif", PIXELS[..., 0].astype(dtype), layout, photometric="minisblack")
    with pytest.raises(SlideError, match="grey") as caught:
        open_slide(path)
    assert caught.value.reason == "not_brightfield"


_INKS = RNG.integers(0, 256, (144, 200, 6), dtype=np.uint8)
_OTHERS = {
    "six inks": (_INKS, "CMYK (uint8, 6 samples of 8 bits)", {"photometric": "separated"}),
    "CMYK of 16 bits": (_INKS[..., :4].astype(np.uint16) * 257, "CMYK (uint16", {"photometric": "separated"}),
    "floating point": (np.float32(PIXELS / 255), "RGB (float32", {"photometric": "rgb"}),
    "signed": (PIXELS.astype(np.int16), "RGB (int16", {"photometric": "rgb"}),  # libtiff takes it for unsigned
    "32 bits": (PIXELS.astype(np.uint32), "RGB (uint32", {"photometric": "rgb"}),
    "linear raw": (PIXELS, "photometric 34892", {"photometric": 34892}),
    "colour filter": (PIXELS[..., 0], "photometric 32803", {"photometric": 32803}),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("space", _OTHERS)
def test_other_colours_are_refused_by_their_name_in_tiles_as_in_strips(tmp_path, space, layout):
    samples, words, options = _OTHERS[space]
    path = _write(tmp_path / "s.tif", samples, layout, **options)
    with pytest.raises(SlideError, match=re.escape(words)) as caught:
        open_slide(path)
    assert caught.value.reason == "unreadable_file" and "8-bit RGB" in caught.value.detail


@pytest.mark.parametrize("layout", ["tiles", "strips"])
def test_samples_of_12_bits_are_refused_by_their_number(tmp_path, layout):
    path = _write(tmp_path / "s.tif", PIXELS.astype(np.uint16) * 16, layout, photometric="rgb", bitspersample=12)
    with pytest.raises(SlideError, match="3 samples of 12 bits"):
        open_slide(path)


@pytest.mark.parametrize("layout", ["tiles", "strips"])
def test_cmyk_in_jpeg_is_refused_whose_ink_may_be_inverted(tmp_path, layout):
    path = _write(tmp_path / "s.tif", _INKS[..., :4], layout, photometric="separated", compression="jpeg")
    with pytest.raises(SlideError, match="CMYK"):
        open_slide(path)


@pytest.mark.parametrize("size", [(30, 40), (16, 16), (100, 100)])
def test_small_uncompressed_tiles_are_read(tmp_path, size):
    part = PIXELS[: size[0], : size[1]]
    tifffile.imwrite(tmp_path / "s.tif", part, tile=(16, 16), photometric="rgb", metadata=None)
    np.testing.assert_array_equal(_read(tmp_path / "s.tif"), part)
