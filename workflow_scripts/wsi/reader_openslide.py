"""Slides by OpenSlide, the pixels of JPEG tiles decoded straight from the file where that is safe."""

import openslide

from workflow_scripts.core.status import SlideError
from workflow_scripts.wsi.backend import Backend, NotMine
from workflow_scripts.wsi.colours import CIELAB, ICCLAB, has_filler, require_colours
from workflow_scripts.wsi.direct import DirectBackend, find_levels
from workflow_scripts.wsi.openslide_backend import OpenSlideBackend
from workflow_scripts.wsi.tiff_images import SlideImage, find_slide, slide_properties
from workflow_scripts.wsi.tiff_layout import has_tiny_tiles


def open_file(path: str, head: bytes, threads: int = 1) -> Backend:
    """Open a slide by OpenSlide, which looks at more than its head.

    Raises:
        NotMine: with what OpenSlide says.
    """
    try:
        reference = OpenSlideBackend(path)
    except openslide.OpenSlideError as error:
        raise NotMine(error) from error
    if reference.vendor == "generic-tiff" and not _is_the_slide(reference):
        reference.close()
        raise NotMine
    levels = find_levels(reference)
    return DirectBackend(reference, levels, threads) if levels else reference


def _is_the_slide(reference: OpenSlideBackend) -> bool:
    """Whether OpenSlide shows the slide of a TIFF as it is; then the TIFF's own properties are added.

    It takes the first page and, as its levels, pages beside it. It is not asked for another image or focal plane, for a
    pyramid in SubIFDs, nor for what libtiff shows otherwise than `colours` has it or refuses.
    """
    import tifffile

    try:
        with tifffile.TiffFile(reference.path) as file:
            slide = find_slide(file, reference.path)
            properties = slide_properties(file, slide)
            require_colours(reference.path, slide.levels[0])
    except SlideError:
        return False  # the reader of plain images tells it
    except Exception:  # whatever tifffile makes of a file that OpenSlide opens, OpenSlide can read it
        return True
    first = slide.levels[0]
    if first.is_subifd or first.index != 0 or (len(slide.levels) > len(reference.dimensions) and _in_subifds(slide)):
        return False
    if has_filler(first) or first.photometric in (CIELAB, ICCLAB) or has_tiny_tiles(first):
        return False
    reference.properties |= {name: properties[name] for name in ("tiff.ResolutionUnit", "ome.image", "reader.note")}
    return True


def _in_subifds(slide: SlideImage) -> bool:
    return any(page.is_subifd for page in slide.levels)
