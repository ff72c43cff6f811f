"""Tiled TIFFs for tests: textured content in every way of storing JPEG tiles that slides come in."""

import struct
from pathlib import Path

import numpy as np
import tifffile
from scipy.ndimage import gaussian_filter

APERIO = "Aperio Image Library v12.0.5\n1000x900 [0,0 1000x900] (256x256) JPEG/RGB Q=80|AppMag = 20|MPP = 0.5"
WAYS = {
    "ycbcr_420": {"photometric": "ycbcr", "subsampling": (2, 2)},
    "ycbcr_422": {"photometric": "ycbcr", "subsampling": (2, 1)},
    "ycbcr_444": {"photometric": "ycbcr", "subsampling": (1, 1)},
    "rgb": {"photometric": "rgb", "compressionargs": {"colorspace": "rgb", "outcolorspace": "rgb", "level": 85}},
}


def texture(width: int, height: int, seed: int = 0) -> np.ndarray:
    """Smooth blobs with grain, uint8 `[height, width, 3]`."""
    rng = np.random.default_rng(seed)
    smooth = gaussian_filter(rng.standard_normal((height, width, 3)), (6, 6, 0)) * 900
    return np.clip(150 + smooth + rng.normal(0, 6, (height, width, 3)), 0, 255).astype(np.uint8)


def write_pyramid(path: Path, pixels: np.ndarray, way: str, tile: int = 256, levels: int = 3, description: str = ""):
    """A pyramid by halving; OpenSlide opens it as generic-tiff, with an Aperio description as aperio."""
    options = {"tile": (tile, tile), "compression": "jpeg", "compressionargs": {"level": 85}, "metadata": None}
    options |= {"resolution": (20_000, 20_000), "resolutionunit": 3} | WAYS[way]
    with tifffile.TiffWriter(path) as writer:
        for level in range(levels):
            step = 2**level
            part = pixels[: pixels.shape[0] // step * step : step, : pixels.shape[1] // step * step : step]
            options["subfiletype"] = 1 if level and not description else 0
            writer.write(np.ascontiguousarray(part), description=description or None, **options)


def write_shared_tile(path: Path, width: int, height: int, tile: int = 512) -> np.ndarray:
    """A slide of any size in a small file: every tile is the same bytes. Returns the tile's pixels."""
    pixels = texture(tile, tile)
    tifffile.imwrite(
        path, pixels, photometric="ycbcr", subsampling=(2, 2), tile=(tile, tile), compression="jpeg", metadata=None
    )
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        start, count = page.dataoffsets[0], page.databytecounts[0]
    data = path.read_bytes()[start : start + count]
    tiles = -(-width // tile) * -(-height // tile)
    entries = {  # tag: (type, count, value); 3 is SHORT, 4 is LONG
        256: (4, 1, width),
        257: (4, 1, height),
        258: (3, 3, 0),
        259: (3, 1, 7),
        262: (3, 1, 6),
        277: (3, 1, 3),
        284: (3, 1, 1),
        322: (3, 1, tile),
        323: (3, 1, tile),
        324: (4, tiles, 0),
        325: (4, tiles, 0),
        530: (3, 2, 2 | 2 << 16),
    }
    at_bits = 8 + 2 + 12 * len(entries) + 4
    at_data = at_bits + 8
    at_offsets = at_data + len(data) + len(data) % 2
    at_counts = at_offsets + 4 * tiles
    entries[258] = (3, 3, at_bits)
    entries[324] = (4, tiles, at_offsets if tiles > 1 else at_data)
    entries[325] = (4, tiles, at_counts if tiles > 1 else len(data))
    directory = b"".join(struct.pack("<HHII", tag, *entry) for tag, entry in entries.items())
    with path.open("wb") as file:
        file.write(b"II*\0" + struct.pack("<IH", 8, len(entries)) + directory + struct.pack("<I", 0))
        file.write(struct.pack("<4H", 8, 8, 8, 0) + data + b"\0" * (len(data) % 2))
        file.write(np.full(tiles, at_data, "<u4").tobytes() + np.full(tiles, len(data), "<u4").tobytes())
    return tifffile.imread(path, key=0)[:tile, :tile] if width * height < 10_000_000 else pixels


def write_scn(path: Path, pixels: np.ndarray, size: tuple[int, int], corner: tuple[int, int], mpp: float) -> None:
    """A Leica SCN of one scanned area, `pixels` at `corner` of a slide of `size` px: OpenSlide gives it bounds."""
    nm, (height, width) = mpp * 1000, pixels.shape[:2]
    macro = np.full((max(1, size[1] // 16), max(1, size[0] // 16), 3), 240, np.uint8)

    def image(name: str, ifd: int, shape: tuple[int, int], view: tuple[int, int], at: tuple[int, int]) -> str:
        return (
            f'<image name="{name}" uuid="{ifd}"><creationDate>2020-01-01</creationDate><device model="m" version="1"/>'
            f'<pixels sizeX="{shape[1]}" sizeY="{shape[0]}">'
            f'<dimension sizeX="{shape[1]}" sizeY="{shape[0]}" r="0" ifd="{ifd}"/></pixels>'
            f'<view sizeX="{view[0] * nm:.0f}" sizeY="{view[1] * nm:.0f}" offsetX="{at[0] * nm:.0f}" '
            f'offsetY="{at[1] * nm:.0f}"/><scanSettings><objectiveSettings><objective>20</objective>'
            "</objectiveSettings><illuminationSettings><numericalAperture>0.4</numericalAperture>"
            "<illuminationSource>brightfield</illuminationSource></illuminationSettings></scanSettings></image>"
        )

    images = image("macro", 0, macro.shape, size, (0, 0)) + image("area", 1, pixels.shape, (width, height), corner)
    description = (
        '<?xml version="1.0"?><scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01" uuid="0">'
        f'<collection name="c" uuid="0" sizeX="{size[0] * nm:.0f}" sizeY="{size[1] * nm:.0f}">'
        f"{images}</collection></scn>"
    )
    options = {"tile": (256, 256), "photometric": "rgb", "compression": "jpeg", "metadata": None}
    options |= {"resolution": (1e4 / mpp, 1e4 / mpp), "resolutionunit": 3}
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        writer.write(macro, description=description, **options)
        writer.write(pixels, **options)
