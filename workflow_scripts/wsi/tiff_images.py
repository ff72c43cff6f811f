"""Which image of a TIFF is the slide: one rule for all readers.

The images are tifffile's series: those of the OME-XML, else the pages, each with its reduced copies as levels. Macro,
label, thumbnail and overview are known by their names. Of the others, at the finest scale that any of them records, the
one of most pixels is the slide.
"""

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from workflow_scripts.core.status import SlideError
from workflow_scripts.wsi.ome_xml import ome_images
from workflow_scripts.wsi.units import RESOLUTION_UNITS

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffFrame, TiffPage, TiffPageSeries

_BESIDE = re.compile(r"(macro|label|thumb(nail)?|overview|preview|navigation|barcode)s?(image|img)?", re.IGNORECASE)
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")  # MacroImage is two words, macrophages one
_SCALE_FACTOR = 1.5  # images whose scales differ by less are of one scan
_SMALL = 1 / 16  # of the slide's pixels; what is smaller and no reduced copy is passed over and told
_MAX_LISTED = 8


class SlideImage(NamedTuple):
    """The slide in a TIFF.

    Attributes:
        levels: pages, finest first.
        number: which of the OME-XML's images it is, from 0; 0 where there is none.
        note: what is to be told of the choice, or empty.
    """

    levels: "list[TiffPage]"
    number: int
    note: str


class _Image(NamedTuple):
    """One image of a file; `mpp` in um/px, null where the OME-XML does not say."""

    series: "TiffPageSeries"
    place: int
    number: int
    name: str
    mpp: float | None

    @property
    def width(self) -> int:
        return int(self.series.keyframe.imagewidth)

    @property
    def height(self) -> int:
        return int(self.series.keyframe.imagelength)

    @property
    def px(self) -> int:
        return self.width * self.height

    def __str__(self) -> str:
        return f"{self.place + 1}{f' ({self.name})' if self.name else ''}: {self.width} x {self.height} px"


def find_slide(file: "TiffFile", path: str, number: int | None = None) -> SlideImage:
    """The slide of an open TIFF, and its middle plane where it is a stack of focal planes.

    Args:
        file: it.
        path: of it, for messages.
        number: which of its images is the slide, from 1; null where it is to be found.

    Raises:
        SlideError: `unreadable_file`: it holds several slides, images of one size without a meaning, or no image of
            that number.
        ValueError: it holds no image at all.
    """
    images = _images(file)
    if not images:
        raise ValueError("no image is found in it")
    if number is not None:
        return _numbered(images, number, path)
    named = [image for image in images if not any(map(_BESIDE.fullmatch, _WORD.findall(image.name)))] or images
    finest = min((image.mpp for image in named if image.mpp), default=None)
    at_finest = [image for image in named if not (finest and image.mpp and image.mpp > finest * _SCALE_FACTOR)]
    slide = max(at_finest, key=lambda image: image.px)  # the first of equals
    others = [image for image in at_finest if image is not slide and not _is_copy(image, slide)]
    beside = [image for image in others if image.series.keyframe.is_tiled == slide.series.keyframe.is_tiled]
    if any(image.px >= slide.px * _SMALL for image in beside):
        several = _listed(sorted([slide, *beside], key=lambda image: image.place))
        raise SlideError(
            "unreadable_file",
            f"{path} holds several slides, {several}; give each a row of its own, whose path ends in # and the number "
            f"of the image, such as {Path(path).name}#{slide.place + 1}",
        )
    notes = []
    if slide.place or beside:
        passed = [image for image in images if image is not slide]
        notes.append(f"of the images in the file {slide} is the slide; passed over: {_listed(passed)}")
    levels, told = _plane(slide, path)
    return SlideImage(levels, slide.number, "; ".join(filter(None, [*notes, told])))


def _numbered(images: list[_Image], number: int, path: str) -> SlideImage:
    """The image that the manifest names."""
    if number > len(images):
        raise SlideError("unreadable_file", f"{path} has no image {number}, only {_listed(images)}; correct the number")
    slide = images[number - 1]
    levels, told = _plane(slide, path)
    named = f"image {slide} is read, as the manifest names it" if slide.name else ""
    return SlideImage(levels, slide.number, "; ".join(filter(None, [named, told])))


def _images(file: "TiffFile") -> list[_Image]:
    described = ome_images(file.pages.first.description) if file.is_ome else []
    found: list[_Image] = []
    for place, series in enumerate(file.series):
        keyframe = series.keyframe
        size = keyframe.imagewidth, keyframe.imagelength
        # By the size, for an image of the XML that has no pages here is no series; among equals by their order.
        taken = {image.number for image in found}
        same = [i for i, image in enumerate(described) if image.size == size and i not in taken]
        number = same[0] if same else min(place, max(0, len(described) - 1))
        mpp = described[number].mpp if described else None
        name = series.name or ("" if len(keyframe.description) > 100 else " ".join(keyframe.description.split()))
        found.append(_Image(series, place, number, name, mpp))
    return found


def _is_copy(image: _Image, slide: _Image) -> bool:
    """Whether an image may be the slide reduced: its proportions to within rounding, at most two thirds of its size."""
    wide, high = slide.width / image.width, slide.height / image.height
    rounding = 2 * max(wide / image.width, high / image.height)
    return min(wide, high) >= _SCALE_FACTOR and math.isclose(wide, high, rel_tol=0, abs_tol=max(rounding, 0.01 * wide))


def _listed(images: list[_Image]) -> str:
    more = f" and {len(images) - _MAX_LISTED} more" if len(images) > _MAX_LISTED else ""
    return ", ".join(map(str, images[:_MAX_LISTED])) + more


def _plane(slide: _Image, path: str) -> "tuple[list[TiffPage], str]":
    """Pages of the slide's levels, and which focal plane they are of."""
    series = slide.series
    axes = [(axis, n) for axis, n in zip(series.axes, series.shape, strict=True) if axis not in "YXS" and n > 1]
    if not axes or (axes[0][0] == "C" and len(axes) == 1 and "S" not in series.axes):
        return [_page(level.pages[0]) for level in series.levels], ""
    planes = axes[0][1]
    if [axis for axis, _ in axes] != ["Z"] or any(len(level.pages) != planes for level in series.levels):
        shape = " x ".join(f"{n} of {axis}" for axis, n in axes)
        raise SlideError(
            "unreadable_file",
            f"{path} holds several images of {slide.width} x {slide.height} px ({shape}), and only focal planes (Z) "
            "are told apart; save the slide in a file of its own",
        )
    middle = (planes - 1) // 2
    return [_page(level.pages[middle]) for level in series.levels], f"focal plane {middle + 1} of {planes} is read"


def _page(page: "TiffPage | TiffFrame | None") -> "TiffPage":
    """A page with all of its tags; tifffile keeps those of a series short."""
    if page is None:
        raise ValueError("a page of the slide is in another file")
    return page.aspage()


def slide_properties(file: "TiffFile", slide: SlideImage) -> dict[str, str]:
    """Metadata of the slide by OpenSlide's names, with `ome.image` (from 0) and `reader.note` of our own."""
    page = slide.levels[0]
    found = {
        "tiff.ImageDescription": file.pages.first.description if file.is_ome else page.description,
        "tiff.ResolutionUnit": RESOLUTION_UNITS.get(int(page.tags.valueof("ResolutionUnit", 2)), "none"),
        "ome.image": str(slide.number),
        "reader.note": slide.note,
    }
    for axis in "XY":
        up, down = page.tags.valueof(f"{axis}Resolution", (0, 1))
        found |= {f"tiff.{axis}Resolution": repr(up / down)} if up and down else {}
    return found
