"""Patches/s of encoders fed from memory, and of the feature stage beside them with many readers.

Weights are random, whose speed is that of trained ones. The stage reads a made-up slide of JPEG tiles, over which its
regions go again and again; without the packages that write and read slides it is not measured, which is said.
"""

import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.encoder_alone import alone
from tests.gpu.options import Measured, NotHere, Options, torch_device
from workflow_scripts.config import Features
from workflow_scripts.encoders.device import choose_batch_size, to_device
from workflow_scripts.encoders.registry import Encoder, build_encoder

PX = 256
MODELS = {name: f"{name}_patch16_224:random" for name in ("vit_small", "vit_large", "vit_tiny")}
_PATCHES = {"vit_small": 8192, "vit_large": 4096, "vit_tiny": 12}
_ROWS = 48  # regions that the stage reads, of 192 patches with tissue each
_READERS = (8, 16)


def settings_of(name: str) -> dict[str, Any]:
    return {"encoder": "gpu", "model": MODELS[name], "shards": 1, "precision": "auto"}


def from_memory(encoder: Encoder, batch: int, count: int) -> float:
    """Patches/s of random patches, after some to warm up."""
    pool = np.random.default_rng(0).integers(0, 256, (min(count, 1024), PX, PX, 3), dtype=np.uint8)
    patches = np.tile(pool, (-(-count // len(pool)), 1, 1, 1))[:count]
    alone(encoder, patches[: 2 * batch], batch)
    return 1 / alone(encoder, patches, batch)


def make_slide(folder: Path, small: bool) -> None:
    """A slide and its tables for the stage.

    Raises:
        NotHere: the packages that slides take are missing.
    """
    try:
        from tests.benchmarks.encoding import make_cohort
    except (ImportError, OSError) as error:  # a package, or a library that it loads
        raise NotHere(f"no slide can be made and read ({error})") from error
    make_cohort(folder, 1, 1 if small else _ROWS, _grid(small))  # its pages are in memory from now on


def _grid(small: bool) -> int:
    return 4 if small else 16


def stage_rates(name: str, folder: Path, small: bool) -> dict[int, float]:
    """Patches/s of the stage on the slide of `make_slide`, by the number of readers."""
    from tests.benchmarks.encoding import stage

    cores = len(os.sched_getaffinity(0))
    rates = {}
    for number in (1,) if small else sorted({min(number, cores) for number in _READERS}):
        seconds, count, *_ = stage(folder, settings_of(name), "gpu", number, _grid(small))
        rates[number] = count / seconds
    return rates


def one_model(name: str, options: Options, slide: Path | None) -> Measured:
    """Figures of one encoder: alone, and the stage by readers where there is a slide."""
    device = torch_device(options.device)
    built = to_device(build_encoder(Features.model_validate(settings_of(name)), PX), device)
    batch = 8 if options.small else choose_batch_size(built, PX)
    rate = from_memory(built, batch, _PATCHES[name])
    figures: dict[str, Any] = {f"alone_{name}": rate, f"batch_{name}": batch, f"precision_{name}": built.precision}
    if slide is None:
        return figures, []
    rates = stage_rates(name, slide, options.small)
    best = max(rates, key=lambda number: rates[number])
    figures |= {f"stage_{name}": rates[best], f"stage_share_{name}": rates[best] / rate, f"readers_{name}": best}
    told = ", ".join(f"{value:.0f} with {number}" for number, value in rates.items())
    return figures, [f"the stage with {name}, patches/s by readers: {told}"]


def measure(options: Options) -> Iterator[Measured]:
    """Patches/s of each encoder alone (`alone_*`) and of the stage at its best, and that as a share of the former."""
    logging.getLogger("workflow_scripts").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        slide: Path | None = Path(folder)
        try:
            make_slide(Path(folder), options.small)
        except NotHere as reason:
            slide = None
            yield {}, [f"the stage is not measured: {reason}"]
        for name in ("vit_tiny",) if options.small else ("vit_small", "vit_large"):
            yield one_model(name, options, slide)
