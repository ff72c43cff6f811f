"""Several slides in one file, told apart by the manifest: `path#2` is the second image of a TIFF."""

import numpy as np
import pytest
import tifffile

from tests.unit.wsi.tiffs import APERIO, texture, write_pyramid
from workflow_scripts.check_slide import check
from workflow_scripts.config import Slides
from workflow_scripts.core.series import slide_exists, split_series
from workflow_scripts.wsi.slide import open_slide

ONE, TWO = texture(640, 512), texture(500, 480, 1)


def _write(path, pages, **options):
    options = {"photometric": "rgb", "metadata": None, "tile": (64, 64), "compression": "zlib"} | options
    with tifffile.TiffWriter(path) as writer:
        for number, (pixels, mpp) in enumerate(pages):
            writer.write(
                pixels, description=f"section {number}", resolution=(1e4 / mpp, 1e4 / mpp), resolutionunit=3, **options
            )
    return path


def _write_ome(path):
    """Two slides of different scale, each with a reduced copy, and a macro before them."""
    images = [(texture(100, 200), 20, "macro"), (ONE, 0.5, "left"), (TWO, 0.6, "right")]
    xml = "".join(
        f'<Image ID="Image:{i}" Name="{name}"><Pixels ID="Pixels:{i}" DimensionOrder="XYCZT" Type="uint8" '
        f'SizeX="{pixels.shape[1]}" SizeY="{pixels.shape[0]}" SizeC="3" SizeZ="1" SizeT="1" PhysicalSizeX="{mpp}" '
        f'PhysicalSizeY="{mpp}" Interleaved="true"><Channel ID="Channel:{i}:0" SamplesPerPixel="3"/>'
        f'<TiffData IFD="{i}" PlaneCount="1"/></Pixels></Image>'
        for i, (pixels, mpp, name) in enumerate(images)
    )
    xml = f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">{xml}</OME>'
    options = {"photometric": "rgb", "metadata": None, "tile": (64, 64)}
    with tifffile.TiffWriter(path) as writer:
        for number, (pixels, _, _) in enumerate(images):
            writer.write(pixels, description=None if number else xml, subifds=1, **options)
            writer.write(np.ascontiguousarray(pixels[::4, ::4]), subfiletype=1, **options)
    return path


def _pixels(path):
    with open_slide(path) as slide:
        return slide.read(0, 0, slide.width, slide.height, slide.width, slide.height)


def test_each_image_is_read_with_its_own_scale_and_levels(tmp_path):
    path = _write_ome(tmp_path / "s.ome.tiff")
    for number, pixels, mpp, name in ((2, ONE, 0.5, "left"), (3, TWO, 0.6, "right")):
        np.testing.assert_array_equal(_pixels(f"{path}#{number}"), pixels)
        row = check("s", f"{path}#{number}", None, Slides())
        assert (row["status"], row["mpp_x"], row["mpp_source"], row["levels"]) == ("ok", mpp, "ome_xml", 2)
        assert row["path"] == f"{path}#{number}" and f"image {number} ({name})" in row["detail"]


@pytest.mark.parametrize("layout", [{}, {"tile": None, "rowsperstrip": 16}])
def test_pages_that_are_slides_are_numbered_as_the_refusal_lists_them(tmp_path, layout):
    path = _write(tmp_path / "s.tif", [(TWO, 0.5), (ONE, 0.25)], **layout)
    told = check("s", str(path), None, Slides())
    assert told["reason"] == "unreadable_file"
    assert "1 (section 0): 500 x 480 px, 2 (section 1): 640 x 512 px; give each a row of its own" in told["detail"]
    assert "whose path ends in # and the number of the image, such as s.tif#2" in told["detail"]
    np.testing.assert_array_equal(_pixels(f"{path}#1"), TWO)
    np.testing.assert_array_equal(_pixels(f"{path}#2"), ONE)
    assert [check("s", f"{path}#{n}", None, Slides())["mpp_x"] for n in (1, 2)] == [0.5, 0.25]


def test_a_number_that_no_image_has_is_told_with_the_images(tmp_path):
    path = _write(tmp_path / "s.tif", [(TWO, 0.5), (ONE, 0.5)])
    told = check("s", f"{path}#7", None, Slides())
    assert told["reason"] == "unreadable_file"
    assert "has no image 7, only 1 (section 0): 500 x 480 px, 2 (section 1): 640 x 512 px" in told["detail"]


def test_only_a_tiff_that_is_no_scanners_has_numbers(tmp_path):
    write_pyramid(tmp_path / "a.svs", texture(1000, 900), "ycbcr_420", description=APERIO)
    (tmp_path / "p.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    for name, words in (("a.svs#2", "is Aperio's"), ("p.png#1", "only TIFF has; take #1 away")):
        told = check("s", str(tmp_path / name), None, Slides())
        assert told["reason"] == "unreadable_file" and words in told["detail"], told["detail"]


def test_a_file_that_is_not_there_is_missing_with_a_number_too(tmp_path):
    assert check("s", str(tmp_path / "none.tif#2"), None, Slides())["reason"] == "missing_file"


@pytest.mark.parametrize("name", ["stain#2", "a#2.tif#3"])
def test_a_name_that_holds_the_sign_itself_is_that_file(tmp_path, name):
    path = _write(tmp_path / name, [(TWO, 0.5)])
    assert split_series(str(path)) == (str(path), None) and slide_exists(str(path))
    np.testing.assert_array_equal(_pixels(path), TWO)
    assert split_series(f"{path}#1") == (str(path), 1)
    np.testing.assert_array_equal(_pixels(f"{path}#1"), TWO)


@pytest.mark.parametrize("path", ["a.tif#0", "a.tif#", "a.tif#x", "a.tif#-1", "a.tif#10000", "x/a#1.tif", "#1"])
def test_what_is_no_number_of_an_image(path):
    assert split_series(path) == (path, None)
