import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.unit.wsi.tiffs import texture
from workflow_scripts.core.status import SlideError
from workflow_scripts.wsi import reader_plain_image
from workflow_scripts.wsi.reader_plain_image import DiskBackend, PlainBackend, TiffBackend
from workflow_scripts.wsi.slide import open_slide


@pytest.fixture
def small_memory(monkeypatch):
    monkeypatch.setattr(reader_plain_image, "_IN_MEMORY_PX", 10_000)


def _save(folder, kind):
    image = Image.fromarray(texture(300, 200))
    if kind == "rgba.png":
        image.putalpha(Image.fromarray((texture(300, 200, 1)[..., 0] > 150).astype(np.uint8) * 255))
    if kind == "palette.png":
        image = image.quantize(50)
    image.save(folder / kind, **({"quality": 90} if kind.endswith("jpg") else {}))
    return folder / kind


@pytest.mark.parametrize("kind", ["rgb.png", "rgba.png", "palette.png", "plain.jpg"])
def test_a_large_image_decoded_to_disk_has_the_pixels_of_one_held_in_memory(tmp_path, kind, monkeypatch):
    path = _save(tmp_path, kind)
    with open_slide(path) as slide:
        assert isinstance(slide._backend, PlainBackend)
        expected = slide.read(0, 0, 300, 200, 300, 200)
    monkeypatch.setattr(reader_plain_image, "_IN_MEMORY_PX", 10_000)
    with open_slide(path) as slide:
        assert isinstance(slide._backend, DiskBackend)
        np.testing.assert_array_equal(slide.read(0, 0, 300, 200, 300, 200), expected)
        np.testing.assert_array_equal(slide.read(31, 17, 100, 99, 100, 99), expected[17:116, 31:131])
    assert expected.std() > 10


def test_readers_of_one_large_image_share_its_decoded_form(tmp_path, small_memory):
    path = _save(tmp_path, "plain.jpg")
    with open_slide(path) as one, open_slide(path) as other:
        assert one._backend._image is other._backend._image
    assert not reader_plain_image._on_disk


@pytest.mark.parametrize("kind", ["rgb.png", "plain.jpg"])
@pytest.mark.parametrize("large", [False, True])
def test_a_truncated_image_is_refused_at_once(tmp_path, kind, large, monkeypatch):
    path = _save(tmp_path, kind)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    if large:
        monkeypatch.setattr(reader_plain_image, "_IN_MEMORY_PX", 10_000)
    with pytest.raises(SlideError) as caught:
        open_slide(path)
    assert caught.value.reason == "unreadable_file" and "truncated" in caught.value.detail


@pytest.mark.parametrize(("mode", "reason"), [("L", "not_brightfield"), ("CMYK", "unreadable_file")])
def test_grey_and_cmyk_pictures_are_refused_by_their_colours(tmp_path, mode, reason):
    path = tmp_path / "s.jpg"
    Image.new(mode, (60, 50)).save(path)
    with pytest.raises(SlideError) as caught:
        open_slide(path)
    assert caught.value.reason == reason and mode in caught.value.detail


def test_a_tiff_of_one_huge_strip_is_decoded_to_disk(tmp_path, small_memory):
    pixels = texture(300, 200)
    tifffile.imwrite(tmp_path / "strip.tif", pixels, photometric="rgb", rowsperstrip=200, compression="lzw")
    with open_slide(tmp_path / "strip.tif") as slide:
        assert isinstance(slide._backend, DiskBackend)
        np.testing.assert_array_equal(slide.read(11, 22, 200, 100, 200, 100), pixels[22:122, 11:211])


@pytest.mark.parametrize("jpeg", [True, False])
def test_tiff_strips_are_decoded_one_by_one(tmp_path, jpeg):
    path, pixels = tmp_path / "strips.tif", texture(300, 200)
    options = {"compression": "jpeg", "compressionargs": {"level": 90}} if jpeg else {"compression": "zlib"}
    tifffile.imwrite(path, pixels, photometric="ycbcr" if jpeg else "rgb", rowsperstrip=16, **options)
    with open_slide(path, threads=2) as slide:
        assert isinstance(slide._backend, TiffBackend) and slide._backend._tiles.levels[0].jpeg == jpeg
        mine = slide.read(0, 0, 300, 200, 300, 200)
        np.testing.assert_array_equal(slide.read(7, 90, 200, 33, 200, 33), mine[90:123, 7:207])
    np.testing.assert_array_equal(mine, tifffile.imread(path) if not jpeg else Image.open(path).convert("RGB"))


def test_a_damaged_strip_costs_only_itself(tmp_path):
    path = tmp_path / "strips.tif"
    tifffile.imwrite(path, texture(256, 256), photometric="ycbcr", rowsperstrip=16, compression="jpeg")
    with tifffile.TiffFile(path) as file:
        start, count = file.pages[0].dataoffsets[3], file.pages[0].databytecounts[3]
    data = bytearray(path.read_bytes())
    data[start + count // 2 : start + count] = b"\xff\xd9".ljust(count - count // 2, b"\0")
    path.write_bytes(data)
    with open_slide(path) as slide:
        assert slide.read(0, 0, 256, 48, 256, 48).std() > 10
        with pytest.raises(SlideError, match="read_error"):
            slide.read(0, 40, 256, 20, 256, 20)
        assert slide.read(0, 64, 256, 192, 256, 192).std() > 10


PLANES = {
    "strips": {"rowsperstrip": 16},
    "lzw": {"rowsperstrip": 16, "compression": "lzw", "predictor": True},
    "jpeg_2000": {"tile": (64, 64), "compression": "jpeg2000"},  # tiles that OpenSlide refuses
}


@pytest.mark.parametrize("way", PLANES)
@pytest.mark.parametrize("alpha", [False, True])
def test_colours_in_planes_of_their_own(tmp_path, way, alpha):
    path, pixels = tmp_path / "planes.tif", texture(300, 200)
    planes = list(np.moveaxis(pixels, -1, 0)) + [np.full((200, 300), 255, np.uint8)] * alpha
    extra = {"extrasamples": ["unassalpha"]} if alpha else {}
    tifffile.imwrite(path, np.stack(planes), photometric="rgb", planarconfig="separate", **PLANES[way], **extra)
    with open_slide(path, threads=2) as slide:
        assert isinstance(slide._backend, TiffBackend) and slide._backend._tiles.levels[0].complete
        np.testing.assert_array_equal(slide.read(0, 0, 300, 200, 300, 200), pixels)
        np.testing.assert_array_equal(slide.read(70, 33, 100, 99, 100, 99), pixels[33:132, 70:170])


def test_planes_of_one_huge_strip_are_decoded_to_disk(tmp_path, small_memory):
    path, pixels = tmp_path / "planes.tif", texture(300, 200)
    planes = np.ascontiguousarray(np.moveaxis(pixels, -1, 0))
    tifffile.imwrite(path, planes, photometric="rgb", planarconfig="separate", compression="lzw")
    with open_slide(path) as slide:
        assert isinstance(slide._backend, DiskBackend)
        np.testing.assert_array_equal(slide.read(11, 22, 200, 100, 200, 100), pixels[22:122, 11:211])


def test_a_damaged_plane_costs_only_its_own_strip(tmp_path):
    path, pixels = tmp_path / "planes.tif", texture(300, 200)
    planes = np.ascontiguousarray(np.moveaxis(pixels, -1, 0))
    tifffile.imwrite(path, planes, photometric="rgb", planarconfig="separate", rowsperstrip=16, compression="zlib")
    with tifffile.TiffFile(path) as file:
        start = file.pages[0].dataoffsets[13 + 2]  # the green of the third strip of 13
    data = bytearray(path.read_bytes())
    data[start : start + 40] = bytes(40)
    path.write_bytes(data)
    with open_slide(path) as slide:
        np.testing.assert_array_equal(slide.read(0, 0, 300, 32, 300, 32), pixels[:32])
        with pytest.raises(SlideError, match="read_error"):
            slide.read(0, 30, 300, 10, 300, 10)
        np.testing.assert_array_equal(slide.read(0, 48, 300, 152, 300, 152), pixels[48:])


def test_planes_of_other_colours_are_refused_with_the_way_to_convert_them(tmp_path):
    planes = np.ascontiguousarray(np.moveaxis(texture(300, 200), -1, 0))
    path = tmp_path / "planes.tif"
    tifffile.imwrite(path, planes, photometric="rgb", planarconfig="separate", rowsperstrip=16)
    with tifffile.TiffFile(path, mode="r+") as file:
        file.pages[0].tags["PhotometricInterpretation"].overwrite(6)
    with pytest.raises(SlideError) as caught:
        open_slide(path)
    assert caught.value.reason == "unreadable_file" and "tiffsave" in caught.value.detail
