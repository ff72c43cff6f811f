"""Surveys and slides made up for tests of the room `project`."""

from pathlib import Path

import numpy as np

from workflow_scripts.demo.pyramid import write_pyramid
from workflow_scripts.project.layout import GRIDS
from workflow_scripts.project.machine import Machine
from workflow_scripts.project.survey import Counts, RegionCount, Row, Survey

LAPTOP = Machine(cores=2, bfloat16=True, memory=16 * 10**9, disk_free=10**12, gpus=0)


def write_slide(path: Path, width: int, height: int, mpp: float, mpp_in_file: bool = True, value: int = 190) -> Path:
    """A slide of pink tissue (red of `value`) with a rim of glass, an eighth of it wide; `mpp` um/px at level 0."""
    rng = np.random.default_rng(width)
    rgb = np.full((height, width, 3), 245, np.uint8)
    inner = rgb[height // 8 : -(height // 8), width // 8 : -(width // 8)]
    inner[:] = np.array([value, 90, 150]) + rng.integers(-25, 25, inner.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_pyramid(path, rgb, path.suffix[1:], mpp, mpp_in_file)
    return path


def row(slide_id: str, **values: object) -> Row:
    """A row of `schemas.CHECK` of a slide of 20 x 15 mm that can be used, with some values replaced."""
    usual = {"slide_id": slide_id, "path": f"/slides/{slide_id}.svs", "width": 80_000, "height": 60_000}
    usual |= {"mpp_x": 0.25, "mpp_y": 0.25, "mpp_source": "vendor", "status": "ok", "reason": "", "detail": ""}
    return usual | values


def counts(regions: int, patches: int = 200) -> Counts:
    """A slide with so many regions at 4096 px, and as many more at smaller sizes as their area says."""
    return {grid: RegionCount(regions * 16**2 // grid**2, regions * patches) for grid in GRIDS}


def survey(listed: int, regions: list[int], opened: int | None = None) -> Survey:
    """So many slides, of which some were opened, and the regions of those whose tissue was found."""
    rows = [row(f"s{number}") for number in range(listed if opened is None else opened)]
    return Survey(listed, rows, [counts(number) for number in regions], [])
