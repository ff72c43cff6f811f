"""A training step at the paper's setting: time, rate, arithmetic, memory, and the host's share.

Steps run as in training, without a wait between them. The host's share is the time that a step which finds the device
idle takes on the host, until it is handed over whole, against the time of a step: where the device is slower than the
host, its queue may fill and hold the host up, so the share is told too high rather than too low.
"""

import gc
import math
import statistics
import time
from typing import Any

import torch

from tests.benchmarks.step import GRID, IN_DIM, made_training
from tests.gpu.options import Options, peak_gib, torch_device, wait_for
from workflow_scripts.config import PretrainRun
from workflow_scripts.config.flop import step_flop
from workflow_scripts.core.cards import peak_flops

_SMALL = {"model": {"dim": 24, "depth": 2, "heads": 2}, "head": {"hidden": 48, "bottleneck": 16, "out_dim": 64}}
_FROM_IDLE = 5


def run_settings(batch: int, small: bool, compiled: bool) -> PretrainRun:
    more: dict[str, Any] = {"compile": compiled} if "compile" in PretrainRun.model_fields else {}
    optimiser = {"batch_size": batch, "freeze_last_layer_epochs": 0}
    return PretrainRun.model_validate({"optimiser": optimiser} | more | (_SMALL if small else {}))


def one_setting(settings: PretrainRun, options: Options, steps: int) -> dict[str, Any]:
    """Figures of steps of one batch size, eager or compiled."""
    device, batch = options.device, settings.optimiser.batch_size
    gc.collect()  # what the setting before it has left
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated() if device == "cuda" else 0
    regions = max(2 * batch, 128)
    trainer, state, targets = made_training(settings, regions, torch_device(device))
    features = regions * GRID**2 * IN_DIM * 2
    run = trainer.steps(state, 10**6, targets)
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


def measure(options: Options) -> tuple[dict[str, Any], list[str]]:
    """Figures of each batch size, by the faster of eager and compiled; both are in the table."""
    torch.set_float32_matmul_precision("high")  # as training in bfloat16 has it
    ways = [False, True] if "compile" in PretrainRun.model_fields and not options.small else [False]
    figures: dict[str, Any] = {}
    notes = [
        "| batch | | ms | regions/s | TFLOP/s | of the peak | GiB beyond features | host's share | first step, s |"
    ]
    notes.append("|---" * 9 + "|")
    for batch in options.batches:
        found = {}
        for compiled in ways:
            way = "compiled" if compiled else "eager"
            found[way] = one_setting(run_settings(batch, options.small, compiled), options, 3 if options.small else 30)
            line = found[way]
            share = "" if line["share_of_peak"] is None else f"{line['share_of_peak']:.1%}"
            notes.append(
                f"| {batch} | {way}, {line['dtype']} | {line['ms']:.1f} | {line['regions_per_s']:.0f} "
                f"| {line['tflops']:.1f} | {share} | {line['peak_gib']:.2f} | {line['host_share']:.2f} "
                f"| {line['first_step_s']:.1f} |"
            )
            figures |= {f"{name}_{batch}_{way}": value for name, value in line.items() if way == "eager"}
        best = min(found, key=lambda way: found[way]["ms"])
        figures |= {f"{name}_{batch}": value for name, value in found[best].items()} | {f"way_{batch}": best}
    return figures, notes
