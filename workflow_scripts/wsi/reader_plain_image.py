"""Plain and OME TIFF, PNG and JPEG as slides, for what OpenSlide refuses.

TIFF tiles are decoded one by one: libvips turns JPEG tiles that hold RGB into false colours. Large PNG and JPEG images,
which can only be decoded from the top, are decoded once by libvips into a temporary file.
"""

import os
from threading import Lock
from weakref import WeakValueDictionary

import numpy as np
from PIL import Image

from workflow_scripts.core.status import SlideError
from workflow_scripts.wsi.backend import Backend, NotMine
from workflow_scripts.wsi.colours import require_colours, require_mode
from workflow_scripts.wsi.file_head import PLAIN_IMAGES, TIFF
from workflow_scripts.wsi.tiff_images import find_slide, slide_properties
from workflow_scripts.wsi.tiff_layout import TiffLevel, parse_level
from workflow_scripts.wsi.tile_reader import TileReader, filled, flatten

_IN_MEMORY_PX = 64_000_000  # a PNG or JPEG up to this is held in memory, 4 bytes a px


class PlainBackend:
    """A PNG or JPEG, decoded whole. Its resolution is that of a screen, so it records no scale."""

    vendor = "plain-image"

    def __init__(self, image: Image.Image) -> None:
        self._image = flatten(image.convert("RGB") if image.mode == "RGB" else image.convert("RGBA"))
        self.dimensions, self.downsamples, self.tile_rows = [image.size], [1.0], [1]
        self.properties: dict[str, str] = {}

    def read(self, level: int, x: int, y: int, w: int, h: int, out: np.ndarray | None = None) -> np.ndarray:
        return filled(out, np.asarray(self._image.crop((x, y, x + w, y + h))))

    def close(self) -> None:
        self._image.close()


class DiskBackend:
    """An image that can only be decoded from its top and is too large for memory: decoded into a temporary file."""

    vendor = "plain-image"

    def __init__(self, path: str, properties: dict[str, str], page: int | None = None) -> None:
        self._image: _OnDisk | None = _decode_to_disk(path, page)
        pixels = self._image.pixels
        self.dimensions, self.downsamples, self.tile_rows = [(pixels.width, pixels.height)], [1.0], [1]
        self.properties = properties

    def read(self, level: int, x: int, y: int, w: int, h: int, out: np.ndarray | None = None) -> np.ndarray:
        if self._image is None:
            raise ValueError("the image is closed")
        return filled(out, self._image.pixels.crop(x, y, w, h).numpy())

    def close(self) -> None:
        self._image = None


class _OnDisk:
    """The image, or a page of a TIFF, as 8-bit RGB in a temporary file of its full size.

    It is removed when the last that has it open lets go.

    Raises:
        pyvips.Error: the image is damaged.
    """

    def __init__(self, path: str, page: int | None) -> None:
        import pyvips

        options = {} if page is None else {"page": page}
        image = pyvips.Image.new_from_file(path, access="sequential", fail_on="warning", **options)
        image = image.colourspace("srgb")
        if image.hasalpha():
            image = image.flatten(background=255)
        self.pixels = pyvips.Image.new_temp_file("%s.v")
        image.cast("uchar").write(self.pixels)


_on_disk: WeakValueDictionary[tuple, _OnDisk] = WeakValueDictionary()
_on_disk_lock = Lock()


def _decode_to_disk(path: str, page: int | None) -> _OnDisk:
    """The decoded form of a file, shared by all in this process who have it open."""
    found = os.stat(path)
    key = (os.path.realpath(path), found.st_mtime_ns, found.st_size, page)
    with _on_disk_lock:
        if (decoded := _on_disk.get(key)) is None:
            decoded = _on_disk[key] = _OnDisk(path, page)
        return decoded


class TiffBackend:
    """A pyramid of TIFF pages, tiles or strips decoded as they are needed."""

    vendor = "plain-image"

    def __init__(self, path: str, levels: list[TiffLevel], properties: dict[str, str], threads: int = 1) -> None:
        self._tiles = TileReader(path, levels, threads)
        self.dimensions = [(layout.width, layout.height) for layout in levels]
        self.downsamples = [levels[0].width / layout.width for layout in levels]
        self.tile_rows = [layout.tile_h for layout in levels]
        self.properties = properties

    def read(self, level: int, x: int, y: int, w: int, h: int, out: np.ndarray | None = None) -> np.ndarray:
        return self._tiles.read(level, x, y, w, h, out)

    def close(self) -> None:
        self._tiles.close()


def _open_tiff(path: str, threads: int, number: int | None) -> Backend:
    """The slide in a TIFF, or its image of that number."""
    import tifffile

    with tifffile.TiffFile(path) as file:
        slide = find_slide(file, path, number)
        for page in slide.levels:
            require_colours(path, page)
        levels = [parse_level(page) for page in slide.levels]
        first, properties = slide.levels[0], slide_properties(file, slide)
    # One strip that holds a whole slide; its JPEG form, which libvips may show in false colours, is left to memory.
    huge = levels[0].tile_w * levels[0].tile_h > _IN_MEMORY_PX
    if huge and not levels[0].jpeg and levels[0].to_rgb is None and not first.is_subifd:
        return DiskBackend(path, properties, first.index)
    return TiffBackend(path, levels, properties, threads)


def _open_image(path: str) -> Backend:
    """A PNG or JPEG."""
    with Image.open(path) as image:
        require_mode(path, image.mode)
        large = image.width * image.height > _IN_MEMORY_PX
        return DiskBackend(path, {}) if large else PlainBackend(image)


def open_file(path: str, head: bytes, threads: int = 1, number: int | None = None) -> Backend:
    """Open a plain image.

    Args:
        path: the file.
        head: its first bytes.
        threads: that decode the tiles of a TIFF.
        number: which image of a TIFF is the slide, from 1; null where it is to be found.

    Raises:
        NotMine: it is none by its first bytes, or a broken one, or what is left of a slide of Aperio's.
        SlideError: `not_brightfield` where it is grey, `unreadable_file` where its colours cannot be brought to RGB
            or it holds several slides.
    """
    if not head.startswith(PLAIN_IMAGES):
        raise NotMine
    try:
        backend = _open_tiff(path, threads, number) if head.startswith(TIFF) else _open_image(path)
    except SlideError:
        raise
    except Exception as error:  # decoders raise many kinds over a broken file
        raise NotMine(error) from error
    # A vendor's file that OpenSlide refuses has lost its directories: what is left of it is no slide.
    if backend.properties.get("tiff.ImageDescription", "").startswith("Aperio"):
        backend.close()
        if number is not None:
            told = f"{path} is Aperio's, which says itself what its slide is; take #{number} away"
            raise SlideError("unreadable_file", told)
        raise NotMine
    return backend
