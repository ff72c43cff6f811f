"""Features of a cohort of the published size, written for the parts that load them."""

import time
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks import nsclc
from tests.gpu.options import Measured, Options


def scale_of(options: Options) -> nsclc.Scale:
    """How large the cohort is: as many regions as were asked for, 60 a slide."""
    if options.small:
        return nsclc.small_scale()[0]
    slides = max(1, round(options.regions * nsclc.SLIDES / nsclc.REGIONS))
    return nsclc.Scale(slides=slides, regions=options.regions)


def place(options: Options) -> Path:
    """Where it lies."""
    return Path(options.folder) / "cohort"


def measure(options: Options) -> Iterator[Measured]:
    """Regions, slides, GB of tokens, and the seconds of writing them."""
    scale, began = scale_of(options), time.perf_counter()
    size = nsclc.write_cohort(place(options), scale)
    seconds = time.perf_counter() - began
    yield {"regions": scale.regions, "slides": scale.slides, "gb": size / 1e9, "seconds": seconds}, []
