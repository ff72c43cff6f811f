"""Files that are made to harm whoever opens them cost a sentence: entities, loops, sizes beyond sense."""

import os
import struct
import zlib

import numpy as np
import pytest
import tifffile

from tests.unit.wsi.tiffs import texture
from workflow_scripts.check_slide import check
from workflow_scripts.config import Slides
from workflow_scripts.core.status import SlideError
from workflow_scripts.wsi.ome_xml import ome_images
from workflow_scripts.wsi.slide import open_slide
from workflow_scripts.wsi.slide_files import find_slides

PIXELS = texture(200, 144)
IMAGE = '<Image Name="{}"><Pixels SizeX="200" SizeY="144" PhysicalSizeX="0.5" PhysicalSizeY="0.5"/></Image>'
NESTED = "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 10))
LAUGHS = f'<!DOCTYPE l [<!ENTITY a0 "ha">{NESTED}]><OME>{IMAGE.format("&a9;")}</OME>'
OUTSIDE = f'<!DOCTYPE l [<!ENTITY x SYSTEM "file:///etc/passwd">]><OME>{IMAGE.format("&x;")}</OME>'


def _entries(content):
    """Places of the entries of a little-endian TIFF's first directory, and behind them."""
    at = struct.unpack_from("<I", content, 4)[0]
    count = struct.unpack_from("<H", content, at)[0]
    return [at + 2 + 12 * number for number in range(count)], at + 2 + 12 * count


def _write(path, **options):
    tifffile.imwrite(path, PIXELS, photometric="rgb", metadata=None, **{"rowsperstrip": 16} | options)
    return path


@pytest.mark.parametrize("xml", [LAUGHS, OUTSIDE])
def test_entities_of_ome_xml_are_not_resolved(tmp_path, xml):
    assert ome_images(xml) == []
    for layout in ({"tile": (64, 64), "rowsperstrip": None}, {}):
        told = check("s", str(_write(tmp_path / "s.ome.tif", description=xml, **layout)), None, Slides())
        assert (told["status"], told["reason"]) == ("excluded", "no_mpp") and "root:" not in str(told)


def test_xml_nested_beyond_sense_says_nothing():
    assert ome_images("<OME>" + "<a>" * 100_000 + "</a>" * 100_000 + "</OME>") == []


def test_a_directory_that_leads_to_itself_is_read_once(tmp_path):
    path = _write(tmp_path / "s.tif", tile=(64, 64))
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, _entries(content)[1], struct.unpack_from("<I", content, 4)[0])
    path.write_bytes(content)
    with open_slide(path) as slide:
        np.testing.assert_array_equal(slide.read(0, 0, 200, 144, 200, 144), PIXELS)


@pytest.mark.parametrize("side", [10**6, 2**31 - 1, 2**32 - 1])
def test_a_tiff_of_a_size_beyond_sense(tmp_path, side):
    path = _write(tmp_path / "s.tif")
    content = bytearray(path.read_bytes())
    for place in _entries(content)[0]:
        tag = struct.unpack_from("<H", content, place)[0]
        if tag in (256, 257):
            struct.pack_into("<HHII", content, place, tag, 4, 1, side)
    path.write_bytes(content)
    assert check("s", str(path), 0.5, Slides())["status"] == "excluded"
    assert check("s", f"{path}#1", 0.5, Slides())["status"] == "excluded"


@pytest.mark.parametrize("side", [60_000, 2**31 - 1])
def test_a_png_that_is_all_size(tmp_path, side):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    (tmp_path / "s.png").write_bytes(b"\x89PNG\r\n\x1a\n" + head + body)
    told = check("s", str(tmp_path / "s.png"), 0.5, Slides())
    assert (told["status"], told["reason"]) == ("excluded", "unreadable_file")


@pytest.mark.parametrize(
    "content", [b"\x80\x04\x95\x0b\0\0\0\0\0\0\0", b"PK\x03\x04", b"<!DOCTYPE html>", b"\x1f\x8b\x08"]
)
def test_what_is_no_slide_is_not_opened_as_one(tmp_path, content):
    (tmp_path / "s.svs").write_bytes(content * 100)
    for path in (tmp_path / "s.svs", f"{tmp_path / 's.svs'}#2"):
        assert check("s", str(path), 0.5, Slides())["reason"] == "unreadable_file"


def test_a_pipe_among_the_files_of_a_slide_is_not_waited_for(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a.mrxs").touch()
    os.mkfifo(tmp_path / "a/Slidedat.ini")
    with pytest.raises(SlideError, match=r"a/Slidedat\.ini, of the slide .*a\.mrxs, is a pipe or device and no file"):
        open_slide(tmp_path / "a.mrxs")
    (tmp_path / "d").mkdir()
    (tmp_path / "d/1.dcm").write_bytes(bytes(128) + b"DICM" + bytes(64))
    os.mkfifo(tmp_path / "d/2.dcm")
    for path in ("d", "d/1.dcm"):
        with pytest.raises(SlideError, match=r"d/2\.dcm, of the slide .* is a pipe"):
            open_slide(tmp_path / path)
    os.mkfifo(tmp_path / "e.svs")
    assert find_slides(tmp_path).slides == [tmp_path / "a.mrxs", tmp_path / "d/1.dcm"]
