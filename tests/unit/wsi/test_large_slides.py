"""Memory stays bounded on a slide of 150,000 x 150,000 px, all of whose tiles are one JPEG tile in a small file."""

import subprocess
import sys

import numpy as np
import pytest

from tests.unit.wsi.tiffs import write_shared_tile
from workflow_scripts.wsi.direct import DirectBackend
from workflow_scripts.wsi.slide import open_slide

_SIDE = 150_000
_REGIONS = """
import sys
from workflow_scripts.wsi.pixels import probe, read_region
from workflow_scripts.wsi.slide import open_slide
with open_slide(sys.argv[1]) as slide:
    probe(slide)
    for i in range(3):
        for size in (4096, 4096 * 2, 4096 * 0.5 / 0.265):
            read_region(slide, 1000 + 40000 * i, 140000 - 50000 * i, size, size, 16, 256)
print(*(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
_OVERVIEW = """
import sys
from workflow_scripts.wsi.pixels import read_overview
from workflow_scripts.wsi.slide import open_slide
um_per_px = float(sys.argv[2])
with open_slide(sys.argv[1]) as slide:
    rgb, ok = read_overview(slide, round(slide.width * 0.25 / um_per_px), round(slide.height * 0.25 / um_per_px))
    assert ok.all() and rgb.std() > 1
print(*(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def _peak_mib(code, *arguments):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(result.stdout) / 1024  # KiB; ru_maxrss would count what the parent had as the process was made, too


def test_the_slide_itself(tmp_path):
    tile = write_shared_tile(tmp_path / "small.tiff", 1400, 1000)
    with open_slide(tmp_path / "small.tiff") as slide:
        assert isinstance(slide._backend, DirectBackend) and slide._backend.is_direct(0)
        np.testing.assert_array_equal(slide.read(512, 0, 512, 512, 512, 512), tile)


def test_regions_of_a_huge_slide(tmp_path):
    write_shared_tile(tmp_path / "huge.tiff", _SIDE, _SIDE)
    assert (tmp_path / "huge.tiff").stat().st_size < 2_000_000
    with open_slide(tmp_path / "huge.tiff") as slide:
        assert (slide.width, slide.height) == (_SIDE, _SIDE)
        assert isinstance(slide._backend, DirectBackend) and slide._backend.is_direct(0)
    assert _peak_mib(_REGIONS, tmp_path / "huge.tiff") < 512


@pytest.mark.parametrize("um_per_px", [8.0, 7.9])
def test_overview_strips_of_a_huge_slide_without_a_pyramid(tmp_path, um_per_px):
    # As wide as the slide, less high: strips are as wide as the slide, so height costs time, not memory.
    write_shared_tile(tmp_path / "wide.tiff", _SIDE, 1536)
    assert _peak_mib(_OVERVIEW, tmp_path / "wide.tiff", um_per_px) < 1024
