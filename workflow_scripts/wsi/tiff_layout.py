"""Where a TIFF keeps the tiles of its pyramid and how each is decoded: all that reading pixels needs, parsed once."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import simplejpeg

from workflow_scripts.wsi.colours import RGB, YCBCR, ToRgb, rgb_converter

if TYPE_CHECKING:
    from tifffile import TiffPage

_JPEG, _UNCOMPRESSED = 7, 1
_SEPARATE = 2  # PlanarConfiguration
_TABLES_APART = (6, 7, 33007, 34892)  # TIFF compressions whose tiles share JPEG tables
# Adobe's marker tells a JPEG decoder whether the three components are RGB (0) or YCbCr (1).
_ADOBE = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00"
_EOI, _SOS, _COMMENT = 0xD9, 0xDA, 0xFE
_FRAMES = (0xC0, 0xC1, 0xC2)  # start of a baseline, extended or progressive frame: 2 bytes size, 1 depth, rows, columns


@dataclass(frozen=True)
class TiffLevel:
    """One level of a pyramid; a strip is a tile as wide as the level.

    Attributes:
        width, height: px of the level.
        tile_w, tile_h: px of a tile.
        offsets, counts: int64 `[planes * tiles]`, bytes in the file, plane by plane and row by row; a count of 0 is a
            tile that was never stored.
        decode: from the bytes of tile `index` to its samples `[h, w, n]`, or `[h, w, 1]` of one plane; raises where
            they are damaged.
        to_rgb: from all samples of a tile to uint8 `[h, w, 3]`; null where they are that.
        jpeg: decoded by libjpeg-turbo, which refuses whatever it would have to guess.
        planes: 1 where a tile holds all its colours, else 3 or 4: each colour has tiles of its own.
    """

    width: int
    height: int
    tile_w: int
    tile_h: int
    offsets: np.ndarray
    counts: np.ndarray
    decode: Callable[[bytes, int], np.ndarray]
    jpeg: bool
    planes: int = 1
    to_rgb: ToRgb | None = None

    @property
    def across(self) -> int:
        """Tiles in a row."""
        return -(-self.width // self.tile_w)

    @property
    def tiles(self) -> int:
        """Tiles of the level, each counted once whatever its planes."""
        return self.across * -(-self.height // self.tile_h)

    @property
    def complete(self) -> bool:
        """Whether the file lists as many tiles as the level has."""
        return len(self.offsets) == len(self.counts) == self.planes * self.tiles


def parse_level(page: "TiffPage") -> TiffLevel:
    """Layout of one page whose colours `colours.require_colours` takes.

    Raises:
        ValueError: tifffile has no decoder for its compression.
    """
    tiled = page.is_tiled
    jpeg = _is_plain_jpeg(page)
    return TiffLevel(
        width=page.imagewidth,
        height=page.imagelength,
        tile_w=page.tilewidth if tiled else page.imagewidth,
        tile_h=page.tilelength if tiled else min(page.rowsperstrip, page.imagelength),
        offsets=np.array(page.dataoffsets, np.int64),
        counts=np.array(page.databytecounts, np.int64),
        decode=_jpeg_decoder(page) if jpeg else _other_decoder(page),
        jpeg=jpeg,
        planes=page.samplesperpixel if page.planarconfig == _SEPARATE else 1,
        to_rgb=rgb_converter(page),
    )


def has_tiny_tiles(page: "TiffPage") -> bool:
    """Whether uncompressed tiles have less than 1024 bytes, as 16 x 16 px: libtiff 4.7 refuses to read the last one."""
    size = page.tilewidth * page.tilelength * page.samplesperpixel * page.bitspersample // 8
    return bool(page.is_tiled and page.compression == _UNCOMPRESSED and size < 1024)


def _is_plain_jpeg(page: "TiffPage") -> bool:
    return (
        page.compression == _JPEG
        and page.photometric in (RGB, YCBCR)
        and page.samplesperpixel == 3
        and page.bitspersample == 8
        and page.planarconfig == 1
        and not page.extrasamples
        and page.jpegheader is None
    )


def _jpeg_decoder(page: "TiffPage") -> Callable[[bytes, int], np.ndarray]:
    """Decoder of JPEG tiles whose colours are as the TIFF's tags say, whatever markers the tiles hold.

    The tables that the tiles share are put before each. The decoder is strict: where libjpeg warns, and fills with
    grey, it raises, as OpenSlide does.
    """
    space = page.photometric
    if space == RGB and page.is_jfif:
        space = YCBCR  # a JFIF tile is YCbCr; some writers tag what they handed over, not what was stored
    head = b"\xff\xd8" + _ADOBE + (b"\x00" if space == RGB else b"\x01") + _without_app_markers(page.jpegtables or b"")

    largest = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)

    def decode(data: bytes, _index: int) -> np.ndarray:
        stream = head + _without_app_markers(data, largest) + b"\xff\xd9"  # a missing end is no damage
        return simplejpeg.decode_jpeg(stream, "RGB", fastdct=False, fastupsample=False, strict=True)

    return decode


def _without_app_markers(data: bytes, largest: tuple[int, int] | None = None) -> bytes:
    """A JPEG stream, or a stream of tables, without its start, APP and comment markers, and tables without their end.

    Args:
        data: the stream.
        largest: rows and columns that the JPEG may have; a damaged header could ask for gigabytes.

    Raises:
        ValueError: there is no stream of markers, or it is larger.
    """
    if not data:
        return b""
    if data[:2] != b"\xff\xd8":
        raise ValueError(f"Not a JPEG file: starts with {data[:2].hex(' ')}")
    kept, at = [], 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] not in (_SOS, _EOI):
        kind, end = data[at + 1], at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if not (0xE0 <= kind <= 0xEF or kind == _COMMENT):
            kept.append(data[at:end])
        if largest and kind in _FRAMES:
            rows, columns = int.from_bytes(data[at + 5 : at + 7], "big"), int.from_bytes(data[at + 7 : at + 9], "big")
            if rows > largest[0] or columns > largest[1]:
                raise ValueError(f"a tile says it has {columns} x {rows} px")
        at = end
    tail = data[at:]
    return b"".join(kept) + (b"" if tail[:2] == b"\xff\xd9" else tail)


def _other_decoder(page: "TiffPage") -> Callable[[bytes, int], np.ndarray]:
    """tifffile's decoder of one page: no compression, LZW, deflate, JPEG 2000, WebP and more."""
    import tifffile

    if page.compression not in tifffile.TIFF.DECOMPRESSORS:
        raise ValueError(f"unsupported TIFF compression {int(page.compression)}")
    shared = page.compression in _TABLES_APART
    tables = {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader} if shared else {}
    page_decode = page.decode

    def decode(data: bytes, index: int) -> np.ndarray:
        segment, _, (_, rows, cols, _) = page_decode(data, index, **tables)
        if segment is None:
            raise ValueError("a tile holds no pixels")
        return segment[0, :rows, :cols]

    return decode
