"""A training step at the paper's setting: time, rate, arithmetic, memory, and the host's share.

Steps run as in training, without a wait between them. The host's share is the time that a step which finds the device
idle takes on the host, until it is handed over whole, against the time of a step: where the device is slower than the
host, its queue may fill and hold the host up, so the share is told too high rather than too low.
"""

import gc
import math
import statistics
import time
from collections.abc import Iterator
from typing import Any

import torch

from tests.benchmarks.step import GRID, IN_DIM, made_training
from tests.gpu.options import Measured, Options, peak_gib, torch_device, wait_for
from tests.gpu.ways import FAR, forget_compiled, not_so, told_lines, ways
from workflow_scripts.config import PretrainRun
from workflow_scripts.config.flop import step_flop
from workflow_scripts.core.cards import peak_flops

_SMALL = {"model": {"dim": 24, "depth": 2, "heads": 2}, "head": {"hidden": 48, "bottleneck": 16, "out_dim": 64}}
# As `compile: auto` computes the steps of a round, the last that works: rounds are too short to be compiled.
OF_ROUNDS = ("eager", "recorded")
_FROM_IDLE = 5
_STEPS = {False: 30, True: 3}  # timed, by whether sizes are small


def run_settings(batch: int, small: bool) -> PretrainRun:
    optimiser = {"batch_size": batch, "freeze_last_layer_epochs": 0}
    return PretrainRun.model_validate({"optimiser": optimiser} | (_SMALL if small else {}))


def one_setting(settings: PretrainRun, options: Options, steps: int, arguments: dict[str, str]) -> dict[str, Any]:
    """Figures of steps of one batch size, computed in one way."""
    device, batch = options.device, settings.optimiser.batch_size
    gc.collect()  # what the setting before it has left
    forget_compiled(arguments)
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_reserved() if device == "cuda" else 0
    regions = max(2 * batch, 128)
    trainer, state, targets = made_training(settings, regions, torch_device(device), **arguments)
    features = regions * GRID**2 * IN_DIM * 2
    run = trainer.steps(state, FAR, targets)
    began = time.perf_counter()
    measures = next(run).measures
    wait_for(device)
    first = time.perf_counter() - began
    for _ in range(3):
        measures = next(run).measures
    wait_for(device)
    began = time.perf_counter()
    for _ in range(steps):
        measures = next(run).measures
    wait_for(device)
    seconds = (time.perf_counter() - began) / steps
    hosts = []
    for _ in range(_FROM_IDLE):
        began = time.perf_counter()
        next(run)
        hosts.append(time.perf_counter() - began)
        wait_for(device)
    run.close()
    if not math.isfinite(float(measures[0])):
        raise RuntimeError("the loss is no finite number")
    flops = batch * step_flop(settings, GRID, IN_DIM) / seconds
    peak = peak_gib(device) - ((before + features) / 2**30 if device == "cuda" else 0)
    dtype = str(trainer.dtype(state)).removeprefix("torch.")
    known = peak_flops(torch.cuda.get_device_name(0), dtype) if device == "cuda" else None
    return {
        "ms": seconds * 1e3,
        "regions_per_s": batch / seconds,
        "tflops": flops / 1e12,
        "share_of_peak": flops / known if known else None,
        "peak_gib": peak,
        "host_share": statistics.median(hosts) / seconds,
        "first_step_s": first,
        "dtype": dtype,
    }


def line_of(batch: int, name: str, found: dict[str, Any]) -> str:
    """A line of the table."""
    share = "" if found["share_of_peak"] is None else f"{found['share_of_peak']:.1%}"
    return (
        f"| {batch} | {name}, {found['dtype']} | {found['ms']:.1f} | {found['regions_per_s']:.0f} "
        f"| {found['tflops']:.3g} | {share} | {found['peak_gib']:.2f} | {found['host_share']:.2f} "
        f"| {found['first_step_s']:.1f} |"
    )


def measure(options: Options) -> Iterator[Measured]:
    """Figures of each batch size, computed as the steps of rounds are; all ways are in the table."""
    torch.set_float32_matmul_precision("high")  # as training in bfloat16 has it
    heads = ["| batch | way | ms | regions/s | TFLOP/s | of the peak | GiB beyond features | host | first step, s |"]
    yield {}, [*heads, "|---" * 9 + "|"]
    for name, way in ways(options).items():
        for batch in options.batches:
            with told_lines() as told:
                found = one_setting(run_settings(batch, options.small), options, _STEPS[options.small], way.arguments)
            if reason := not_so(way, told):
                yield {}, [f"{name}, batch {batch}: not measured ({reason})"]
                continue
            figures = {f"ms_{batch}_{name}": found["ms"]}
            if name in OF_ROUNDS:
                figures |= {f"{key}_{batch}": value for key, value in found.items()} | {f"way_{batch}": name}
            yield figures, [line_of(batch, name, found)]
