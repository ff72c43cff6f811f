"""Plain and OME TIFF, PNG and JPEG as slides, for what OpenSlide refuses.

TIFF tiles are decoded one by one: libvips turns JPEG tiles that hold RGB into false colours. Large PNG and JPEG images,
which can only be decoded from the top, are decoded once by libvips into a temporary file.
"""

import os
from threading import Lock
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import numpy as np
from PIL import Image

from workflow_scripts.wsi.slide_error import SlideError
from workflow_scripts.wsi.tiff_layout import parse_level
from workflow_scripts.wsi.tile_reader import TileReader, flatten

if TYPE_CHECKING:
    import pyvips

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
PLAIN_IMAGES = (*_TIFF, b"\x89PNG", b"\xff\xd8\xff")
_UM_PER_UNIT = {2: 25_400.0, 3: 10_000.0}  # TIFF's ResolutionUnit: inch, cm
_IN_MEMORY_PX = 64_000_000  # a PNG or JPEG up to this is held in memory, 4 bytes a px
_ROWS = 256  # of an untiled image, read at once


def _refuse_unless_rgb(what: str, rgb: bool) -> None:
    if not rgb:
        raise SlideError("not_brightfield", f"the image is {what}, not 8-bit RGB; only brightfield slides are used")


class PlainBackend:
    """A PNG or JPEG, decoded whole. Its resolution is that of a screen, so it records no scale."""

    vendor = "plain-image"

    def __init__(self, path: str) -> None:
        with Image.open(path) as image:
            _refuse_unless_rgb(f"of mode {image.mode}", image.mode in ("RGB", "RGBA", "P"))
            self.dimensions = [image.size]
            self._vips = _decode_to_disk(path) if image.width * image.height > _IN_MEMORY_PX else None
            if self._vips is None:
                self._image = flatten(image.convert("RGB") if image.mode == "RGB" else image.convert("RGBA"))
        self.downsamples, self.tile_rows = [1.0], [_ROWS]
        self.properties: dict[str, str] = {}

    def read(self, level: int, x: int, y: int, w: int, h: int) -> np.ndarray:
        if self._vips is not None:
            return self._vips.crop(x, y, w, h).numpy()
        return np.asarray(self._image.crop((x, y, x + w, y + h)))

    def close(self) -> None:
        self._vips = self._image = None


_on_disk: WeakValueDictionary = WeakValueDictionary()
_on_disk_lock = Lock()


def _decode_to_disk(path: str) -> "pyvips.Image":
    """The image as 8-bit RGB in a temporary file of its full size, shared by all who have it open, then removed.

    Raises:
        pyvips.Error: the image is damaged.
    """
    import pyvips

    found = os.stat(path)
    key = (os.path.realpath(path), found.st_mtime_ns, found.st_size)
    with _on_disk_lock:
        if (decoded := _on_disk.get(key)) is None:
            image = pyvips.Image.new_from_file(path, access="sequential", fail_on="warning").colourspace("srgb")
            if image.hasalpha():
                image = image.flatten(background=255)
            decoded = pyvips.Image.new_temp_file("%s.v")
            image.cast("uchar").write(decoded)
            _on_disk[key] = decoded
        return decoded


class TiffBackend:
    """First series of a TIFF with its pyramid, tiles or strips decoded as they are needed."""

    vendor = "plain-image"

    def __init__(self, path: str, threads: int = 1) -> None:
        import tifffile

        with tifffile.TiffFile(path) as file:
            pages = [level.keyframe for level in file.series[0].levels]
            first = pages[0]
            rgb = all(page.dtype == np.uint8 and page.axes == "YXS" and page.shape[2] in (3, 4) for page in pages)
            levels = [parse_level(page) for page in pages]
            _refuse_unless_rgb(f"{first.dtype} with the axes {first.axes} {first.shape}", rgb)
            self.dimensions = [(page.imagewidth, page.imagelength) for page in pages]
            self.properties = {"tiff.ImageDescription": first.description} | _resolution(first)
        self.downsamples = [first.imagewidth / page.imagewidth for page in pages]
        self.tile_rows = [layout.tile_h for layout in levels]
        self._tiles = TileReader(path, levels, threads)

    def read(self, level: int, x: int, y: int, w: int, h: int) -> np.ndarray:
        return self._tiles.read(level, x, y, w, h)

    def close(self) -> None:
        self._tiles.close()


def _resolution(page) -> dict[str, str]:
    """um/px by the resolution tags, where they have a unit."""
    unit = _UM_PER_UNIT.get(page.tags.valueof("ResolutionUnit", 2))
    found = {}
    for axis in "xy":
        up, down = page.tags.valueof(f"{axis.upper()}Resolution", (0, 1))
        if unit and up:
            found[f"tiff.mpp-{axis}"] = str(unit * down / up)
    return found


def open_plain(path: str, head: bytes, threads: int = 1) -> PlainBackend | TiffBackend:
    """Open a plain image by the first bytes of its file; `threads` decode the tiles of a TIFF.

    Raises:
        SlideError: `not_brightfield` where it is not 8-bit RGB.
        Exception: the decoders' own kinds where it is broken.
    """
    return TiffBackend(path, threads) if head.startswith(_TIFF) else PlainBackend(path)
