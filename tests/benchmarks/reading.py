"""How fast regions are read: reader x format x threads, against the decoder alone, OpenSlide and pyvips.

Writes JPEG-tiled pyramids of textured content (or of a slide's own pixels, repeated) into a temporary folder and reads
regions of 4096 x 4096 px from the page cache. Every turn times all ways one after the other; speeds are medians over
the turns, ratios medians of the ratios of one turn. Beside the speed by the clock stands that by the processor time of
all threads, which other work on the machine disturbs less; the ratios are of processor time.

    OMP_NUM_THREADS=1 VIPS_CONCURRENCY=1 python -m tests.benchmarks.reading [--turns 7] [--slide SLIDE]
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import openslide
import pyvips
import simplejpeg
import tifffile

from tests.unit.wsi.tiffs import APERIO, WAYS, texture
from workflow_scripts.wsi.pixels import read_region
from workflow_scripts.wsi.slide import open_slide

SIDE, GRID = 4096, 16
CORNERS = [(0, 0), (4096, 0), (0, 4096), (4096, 4096)]
FORMATS = {  # name: way of storing colours, tile px, JPEG quality, vendor
    "TIFF, 4:2:0, 256 px, quality 80": ("ycbcr_420", 256, 80, ""),
    "TIFF, 4:2:0, 512 px, quality 90": ("ycbcr_420", 512, 90, ""),
    "TIFF, 4:4:4, 512 px, quality 80": ("ycbcr_444", 512, 80, ""),
    "Aperio, RGB, 240 px, quality 80": ("rgb", 240, 80, APERIO),
}


def content(slide: str | None) -> np.ndarray:
    """uint8 `[8192, 8192, 3]`."""
    if not slide:
        return np.tile(texture(2048, 2048), (4, 4, 1))
    with open_slide(slide) as opened:
        side = min(opened.width, opened.height, 2048)
        x, y = (opened.width - side) // 2, (opened.height - side) // 2
        pixels = opened.read(x, y, side, side, side, side)
    times = -(-2 * SIDE // side)
    return np.tile(pixels, (times, times, 1))[: 2 * SIDE, : 2 * SIDE]


def write(path: Path, pixels: np.ndarray, way: str, tile: int, quality: int, description: str, levels: int = 1) -> None:
    options = {"tile": (tile, tile), "compression": "jpeg", "compressionargs": {}, "metadata": None} | WAYS[way]
    options["compressionargs"] = options["compressionargs"] | {"level": quality}
    with tifffile.TiffWriter(path) as writer:
        for level in range(levels):
            part = np.ascontiguousarray(pixels[:: 2**level, :: 2**level])
            writer.write(part, description=description or None, subfiletype=1 if level else 0, **options)


def tiles_in_memory(path: Path, corner: tuple[int, int]) -> list[bytes]:
    """The complete JPEGs of the tiles of a region."""
    with tifffile.TiffFile(path) as file:
        page, data = file.pages[0], path.read_bytes()
        across = -(-page.imagewidth // page.tilewidth)
        rows, columns = (
            range(at // tile, (at + SIDE - 1) // tile + 1)
            for at, tile in ((corner[1], page.tilelength), (corner[0], page.tilewidth))
        )
        spans = [(page.dataoffsets[r * across + c], page.databytecounts[r * across + c]) for r in rows for c in columns]
        return [data[start : start + count] for start, count in spans]


def _decode(tiles: list[bytes], tile: int) -> None:
    buffer = np.empty((tile, tile, 3), np.uint8)
    for data in tiles:
        simplejpeg.decode_jpeg(data, "RGB", fastdct=False, fastupsample=False, buffer=buffer)


def _openslide_region(handle: openslide.OpenSlide, corner: tuple[int, int]) -> None:
    np.asarray(handle.read_region(corner, 0, (SIDE, SIDE)).convert("RGB"))


def ways_of(path: Path, tile: int, threads: int, stack: list) -> dict[str, Callable[[tuple[int, int]], None]]:
    """Every way of reading `threads` regions, one a thread; ours also with all threads on one region."""
    pool = ThreadPoolExecutor(threads)
    slides = [open_slide(path) for _ in range(threads)]
    together = open_slide(path, threads=threads)
    handle, image = openslide.OpenSlide(str(path)), pyvips.Image.tiffload(str(path))
    memory = {corner: tiles_in_memory(path, corner) for corner in CORNERS[:threads]}
    stack += [*slides, together, handle]

    def each(job: Callable) -> Callable[[], None]:
        return lambda: list(pool.map(job, range(threads), CORNERS))

    ways = {
        "decoder alone (limit)": each(lambda i, corner: _decode(memory[corner], tile)),
        "read_region": each(lambda i, corner: read_region(slides[i], *corner, SIDE, SIDE, GRID, SIDE // GRID)),
        "OpenSlide": each(lambda i, corner: _openslide_region(handle, corner)),
        "pyvips crop": each(lambda i, corner: image.crop(*corner, SIDE, SIDE).numpy()),
    }
    if threads > 1:
        regions = CORNERS[:threads]
        ways["read_region, threads over tiles"] = lambda: [
            read_region(together, *corner, SIDE, SIDE, GRID, SIDE // GRID) for corner in regions
        ]
    return ways


def timed(ways: dict[str, Callable[[], None]], turns: int) -> dict[str, list[np.ndarray]]:
    """Seconds of every turn by the clock and of the processor."""
    seconds: dict[str, list[np.ndarray]] = {name: [] for name in ways}
    for turn in range(turns + 1):
        for name, job in ways.items():
            start = np.array([time.perf_counter(), time.process_time()])
            job()
            if turn:  # the first warms up
                seconds[name].append(np.array([time.perf_counter(), time.process_time()]) - start)
    return seconds


def print_rows(name: str, seconds: dict[str, list[np.ndarray]], megabytes: float, limit: str) -> None:
    for way, times in seconds.items():
        clock, processor = megabytes / np.median(times, axis=0)
        of_limit = statistics.median(a[1] / b[1] for a, b in zip(seconds[limit], times, strict=True))
        over = statistics.median(a[1] / b[1] for a, b in zip(seconds["OpenSlide"], times, strict=True))
        print(f"| {name} | {way} | {clock:.0f} | {processor:.0f} | {100 * of_limit:.0f} % | {over:.1f} |", flush=True)


def resampled(folder: Path, pixels: np.ndarray, turns: int) -> None:
    """One region of 4096 px at 0.5 um/px from 0.25 and 0.265 um/px, with and without a level of 0.5 um/px."""
    print("\n| at 0.5 um/px | way | MB/s of the result | MB a processor second | of native | over OpenSlide |")
    print("|---|---|---|---|---|---|")
    for name, mpp, levels in (
        ("from 0.25, a level of 0.5 is there", 0.25, 2),
        ("from 0.25 alone", 0.25, 1),
        ("from 0.265", 0.265, 1),
    ):
        path = folder / f"{mpp}_{levels}.tiff"
        write(path, pixels, "ycbcr_420", 256, 80, "", levels)
        size = SIDE * 0.5 / mpp
        with open_slide(path) as slide, openslide.OpenSlide(str(path)) as handle:

            def plain(size=size, levels=levels, handle=handle):
                side = SIDE if levels > 1 else round(size)
                image = handle.read_region((0, 0), levels - 1, (side, side)).convert("RGB")
                np.asarray(image if side == SIDE else image.resize((SIDE, SIDE), 4))

            ways = {
                "region at native scale": lambda slide=slide: read_region(slide, 0, 0, SIDE, SIDE, GRID, 256),
                "read_region": lambda slide=slide, size=size: read_region(slide, 0, 0, size, size, GRID, 256),
                "OpenSlide": plain,
            }
            print_rows(name, timed(ways, turns), SIDE * SIDE * 3 / 1e6, "region at native scale")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--slide", help="a slide whose pixels are the content; default: made-up texture")
    args = parser.parse_args()
    pixels = content(args.slide)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
    print("| format; threads | reader | MB/s of RGB | MB a processor second | of the limit | over OpenSlide |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        for number, (label, (way, tile, quality, description)) in enumerate(FORMATS.items()):
            path, opened = Path(name) / f"{number}.tiff", []
            write(path, pixels, way, tile, quality, description)
            for threads in (1, 2):
                seconds = timed(ways_of(path, tile, threads, opened), args.turns)
                print_rows(f"{label}; {threads}", seconds, threads * SIDE * SIDE * 3 / 1e6, "decoder alone (limit)")
            for one in opened:
                one.close() if hasattr(one, "close") else one.__exit__()
        resampled(Path(name), pixels, args.turns)


if __name__ == "__main__":
    main()
