"""Features from files in memory onto the device, and from there to the first step."""

import time
from collections.abc import Iterator

import torch

from tests.benchmarks.nsclc import nsclc_run, small_scale
from tests.gpu.cohort import place
from tests.gpu.options import Measured, Options, torch_device, wait_for
from workflow_scripts.core.feature_store import usable_slides
from workflow_scripts.slpd.memory import keep_freed_memory
from workflow_scripts.slpd.state import new_state
from workflow_scripts.slpd.tokens import open_tokens
from workflow_scripts.slpd.trainer import Trainer


def measure(options: Options) -> Iterator[Measured]:
    """Seconds and GB/s of loading; seconds of making networks and of the first step; of starting CUDA beforehand."""
    keep_freed_memory()
    torch.set_float32_matmul_precision("high")  # as training in bfloat16 has it
    device = torch_device(options.device)
    settings = small_scale()[1] if options.small else nsclc_run()
    slides = usable_slides(place(options) / "slides.parquet")
    began = time.perf_counter()
    torch.zeros(1, device=device)
    wait_for(options.device)
    ready = time.perf_counter()
    store, data = open_tokens(place(options) / "features", slides, device)
    wait_for(options.device)
    loaded = time.perf_counter()
    state, trainer = new_state(settings, store.dim, device), Trainer(settings, data)
    made = time.perf_counter()
    loss = float(next(trainer.steps(state, 1, None)).measures[0])
    stepped = time.perf_counter()
    figures = {
        "regions": len(data),
        "gb": store.nbytes / 1e9,
        "start_s": ready - began,
        "seconds": loaded - ready,
        "gb_per_s": store.nbytes / 1e9 / (loaded - ready),
        "networks_s": made - loaded,
        "first_step_s": stepped - loaded,
        "loss": loss,
    }
    yield figures, []
