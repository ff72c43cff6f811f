"""Plain and OME TIFF, PNG and JPEG as slides, for what OpenSlide refuses.

TIFF tiles are decoded by tifffile: libvips turns JPEG tiles that hold RGB into false colours.
"""

import numpy as np
from PIL import Image

from workflow_scripts.wsi.slide_error import SlideError

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
PLAIN_IMAGES = (*_TIFF, b"\x89PNG", b"\xff\xd8\xff")
WHITE = (255, 255, 255)
_JPEG = (6, 7, 33007, 34892)  # TIFF compressions whose tiles share tables
_UM_PER_UNIT = {2: 25_400.0, 3: 10_000.0}  # TIFF's ResolutionUnit: inch, cm


def flatten(pixels: Image.Image) -> Image.Image:
    """An RGB or RGBA image on white."""
    if pixels.mode == "RGB":
        return pixels
    if pixels.getextrema()[3][0] == 255:
        return pixels.convert("RGB")
    flat = Image.new("RGB", pixels.size, WHITE)
    flat.paste(pixels, mask=pixels.getchannel("A"))
    return flat


def _refuse_unless_rgb(what: str, rgb: bool) -> None:
    if not rgb:
        raise SlideError("not_brightfield", f"the image is {what}, not 8-bit RGB; only brightfield slides are used")


class PlainBackend:
    """A PNG or JPEG, decoded whole. Its resolution is that of a screen, so it records no scale."""

    vendor = "plain-image"

    def __init__(self, path: str) -> None:
        with Image.open(path) as image:
            _refuse_unless_rgb(f"of mode {image.mode}", image.mode in ("RGB", "RGBA", "P"))
            self._image = flatten(image.convert("RGB") if image.mode == "RGB" else image.convert("RGBA"))
        self.dimensions, self.downsamples = [self._image.size], [1.0]
        self.properties: dict[str, str] = {}

    def read(self, level: int, x: int, y: int, w: int, h: int) -> Image.Image:
        return self._image.crop((x, y, x + w, y + h))

    def close(self) -> None:
        self._image.close()


class TiffBackend:
    """First series of a TIFF with its pyramid, tiles or strips decoded as they are needed."""

    vendor = "plain-image"

    def __init__(self, path: str) -> None:
        import tifffile

        self._file = tifffile.TiffFile(path)
        self._pages = [level.keyframe for level in self._file.series[0].levels]
        first = self._pages[0]
        rgb = all(page.dtype == np.uint8 and page.axes == "YXS" and page.shape[2] in (3, 4) for page in self._pages)
        if first.compression not in tifffile.TIFF.DECOMPRESSORS:
            raise ValueError(f"unsupported TIFF compression {int(first.compression)}")
        _refuse_unless_rgb(f"{first.dtype} with the axes {first.axes} {first.shape}", rgb)
        self.dimensions = [(page.imagewidth, page.imagelength) for page in self._pages]
        self.downsamples = [first.imagewidth / page.imagewidth for page in self._pages]
        self.properties = {"tiff.ImageDescription": first.description} | _resolution(first)

    def read(self, level: int, x: int, y: int, w: int, h: int) -> Image.Image:
        page = self._pages[level]
        pixels = np.full((h, w, page.shape[2]), 255, np.uint8)
        try:
            for index in _segments(page, x, y, w, h):
                self._paste(page, index, pixels, x, y)
        except Exception as error:  # each codec raises its own kind
            raise SlideError("read_error", f"pixels cannot be read ({error}); fetch the file again") from error
        return flatten(Image.fromarray(pixels))

    def _paste(self, page, index: int, pixels: np.ndarray, x: int, y: int) -> None:
        """Decode one tile or strip and copy what the canvas at (x, y) needs of it."""
        if not page.databytecounts[index]:
            return  # a sparse tile: background
        self._file.filehandle.seek(page.dataoffsets[index])
        data = self._file.filehandle.read(page.databytecounts[index])
        tables = {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader} if page.compression in _JPEG else {}
        segment, (_, _, top, left, _), (_, rows, cols, _) = page.decode(data, index, **tables)
        y0, y1 = max(y, top), min(y + pixels.shape[0], top + rows)
        x0, x1 = max(x, left), min(x + pixels.shape[1], left + cols)
        pixels[y0 - y : y1 - y, x0 - x : x1 - x] = segment[0, y0 - top : y1 - top, x0 - left : x1 - left]

    def close(self) -> None:
        self._file.close()


def _segments(page, x: int, y: int, w: int, h: int) -> list[int]:
    """Indices of the tiles or strips that a rectangle touches."""
    tile_w, tile_h = (page.tilewidth, page.tilelength) if page.is_tiled else (page.imagewidth, page.rowsperstrip)
    across = -(-page.imagewidth // tile_w)
    columns = range(x // tile_w, (x + w - 1) // tile_w + 1)
    return [row * across + column for row in range(y // tile_h, (y + h - 1) // tile_h + 1) for column in columns]


def _resolution(page) -> dict[str, str]:
    """um/px by the resolution tags, where they have a unit."""
    unit = _UM_PER_UNIT.get(page.tags.valueof("ResolutionUnit", 2))
    found = {}
    for axis in "xy":
        up, down = page.tags.valueof(f"{axis.upper()}Resolution", (0, 1))
        if unit and up:
            found[f"tiff.mpp-{axis}"] = str(unit * down / up)
    return found


def open_plain(path: str, head: bytes) -> PlainBackend | TiffBackend:
    """Open a plain image by the first bytes of its file.

    Raises:
        SlideError: `not_brightfield` where it is not 8-bit RGB.
        Exception: the decoders' own kinds where it is broken.
    """
    return TiffBackend(path) if head.startswith(_TIFF) else PlainBackend(path)
