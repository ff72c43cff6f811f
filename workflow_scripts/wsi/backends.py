"""The decoders behind a slide: OpenSlide, the reader of record, `direct` for the pixels of JPEG-tiled slides, and
`plain_image` for plain images that OpenSlide refuses.
"""

from pathlib import Path
from typing import Protocol

import numpy as np
import openslide

from workflow_scripts.core.status import SlideError
from workflow_scripts.wsi.direct import DirectBackend, find_levels
from workflow_scripts.wsi.openslide_backend import OpenSlideBackend
from workflow_scripts.wsi.plain_image import PLAIN_IMAGES, open_plain


class Backend(Protocol):
    """What a decoder gives.

    Attributes:
        properties: the file's metadata, names as in OpenSlide.
        vendor: OpenSlide's vendor name, or `plain-image`.
        dimensions: width and height of every level, finest first, px.
        downsamples: one factor a level, as the decoder counts them.
        tile_rows: rows of a tile of every level; reads that end on a multiple of it decode no tile twice.
    """

    properties: dict[str, str]
    vendor: str
    dimensions: list[tuple[int, int]]
    downsamples: list[float]
    tile_rows: list[int]

    def read(self, level: int, x: int, y: int, w: int, h: int, out: np.ndarray | None = None) -> np.ndarray:
        """Whole pixels of a level, inside it, uint8 `[h, w, 3]`; what is transparent lies on white.

        Args:
            out: filled and returned, instead of a new array.

        Raises:
            SlideError: `read_error`; the backend stays usable.
        """
        ...

    def close(self) -> None: ...


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _looks_like(head: bytes) -> str:
    """What a file that no reader takes seems to be, as the end of a sentence."""
    if not head:
        return "the file is empty; fetch it again"
    if head.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer, not the slide itself; run git lfs pull"
    if head.lstrip()[:14].lower().startswith((b"<!doctype html", b"<html")):
        return "it is an HTML page, probably an error message saved in place of the slide; fetch it again"
    if b"Aperio" in head or head.startswith(PLAIN_IMAGES):
        return "it seems truncated, damaged or of an unsupported kind of image; fetch it again"
    return "its content is no known slide format"


def _file_of(path: str) -> str:
    """The file itself, or the first DICOM file of a folder: OpenSlide finds the rest of its series beside it."""
    if Path(path).is_dir():
        found = sorted(Path(path).glob("*.dcm"))
        if not found:
            raise SlideError("missing_file", f"{path} is a folder without *.dcm; give the slide's file in column path")
        return str(found[0])
    if not Path(path).is_file():
        raise SlideError("missing_file", f"{path} does not exist or is no file; check the column path of the manifest")
    return path


def _open_openslide(path: str, threads: int) -> Backend:
    reference = OpenSlideBackend(path)
    levels = find_levels(reference)
    return DirectBackend(reference, levels, threads) if levels else reference


def open_backend(path: str, threads: int = 1) -> Backend:
    """Open with OpenSlide, else as a plain image; JPEG tiles are decoded straight from the file where that is safe.

    Args:
        threads: tiles decoded at once where tiles are decoded here.

    Raises:
        SlideError: `missing_file`, `unreadable_file`, or `not_brightfield` for a plain image that is not RGB.
    """
    path = _file_of(path)
    try:
        return _open_openslide(path, threads)
    except openslide.OpenSlideError as error:
        first_error = _one_line(error)
    try:
        with open(path, "rb") as file:
            head = file.read(1024)
    except OSError as error:
        raise SlideError("unreadable_file", f"{path} cannot be read ({error.strerror})") from error
    # A vendor's file that OpenSlide refuses has lost its directories: what is left of it is no slide.
    if head.startswith(PLAIN_IMAGES):
        try:
            backend = open_plain(path, head, threads)
        except SlideError:
            raise
        except Exception as error:  # decoders raise many kinds over a broken file
            first_error += f"; {_one_line(error)}"
        else:
            if not backend.properties.get("tiff.ImageDescription", "").startswith("Aperio"):
                return backend
            backend.close()
    raise SlideError("unreadable_file", f"{path} cannot be opened: {_looks_like(head)} ({first_error})")
