"""How fast a training job was and where its time went: for its log, and for the report in a file beside its metrics."""

import json
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from workflow_scripts.config.flop import step_flop
from workflow_scripts.core.cards import peak_flops
from workflow_scripts.core.files import write_text
from workflow_scripts.core.schemas import SPEED_FILE
from workflow_scripts.slpd.state import TrainState
from workflow_scripts.slpd.targets import PrototypeTargets
from workflow_scripts.slpd.trainer import Trainer


@dataclass
class Spent:
    """Seconds of a job.

    Attributes:
        loading: features from their files to where they are kept, and the checks before.
        preparing: what computes the steps: compiling, recording a CUDA graph, comparing them with the step as written.
        steps: training, with what its steps wait, without preparing and saving.
        waiting: of the steps, drawing what they are given, on a GPU as far as they wait for it, and bringing the tokens
            of a batch together, on a GPU as far as the host does it.
        saving: states, on the way and at the end.
        count: steps done.
    """

    loading: float = 0.0
    preparing: float = 0.0
    steps: float = 0.0
    waiting: float = 0.0
    saving: float = 0.0
    count: int = 0

    @contextmanager
    def in_steps(self, trainer: Trainer) -> Iterator[None]:
        """Count what is done within as steps, but for the saving and what the trainer prepares."""
        began, saved = time.monotonic(), self.saving
        prepared, waited = trainer.preparing_s, trainer.waiting_s + trainer.data.waited_s
        try:
            yield
        finally:
            preparing = trainer.preparing_s - prepared
            self.preparing += preparing
            self.steps += time.monotonic() - began - (self.saving - saved) - preparing
            self.waiting += trainer.waiting_s + trainer.data.waited_s - waited

    @contextmanager
    def in_saving(self) -> Iterator[None]:
        """Count what is done within as saving."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.saving += time.monotonic() - began


def peak_memory(device: torch.device) -> int:
    """Bytes that this process had at most: what torch took of its GPU, or resident on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device)  # tensors alone leave out what a CUDA graph holds
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def speed(spent: Spent, trainer: Trainer, state: TrainState, targets: PrototypeTargets | None) -> dict[str, Any]:
    """Facts of a finished training job.

    Returns:
        `steps`, `batch`, `processes`; `regions_per_s` and `tflop_per_s` of all processes together, null without a step;
        `peak_share` of what their cards can do at best, null where that is not known; `device`, `arithmetic`;
        `peak_memory` in bytes, of this process; seconds by `loading_s`, `preparing_s`,
        `waiting_s`, `steps_s` and `saving_s`. Rates are of the steps, without the preparing.
    """
    device, world, data = trainer.data.device, trainer.workers.world, trainer.data
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
    arithmetic = str(trainer.dtype(state)).removeprefix("torch.")
    rate = spent.count * trainer.batch / spent.steps if spent.count else None
    distilled = 0 if targets is None else len(targets.index)
    flops = None if rate is None else rate * step_flop(trainer.settings, data.grid, data.dim, distilled)
    peak = peak_flops(name, arithmetic)
    return {
        "steps": spent.count,
        "batch": trainer.batch,
        "processes": world,
        "regions_per_s": rate,
        "tflop_per_s": None if flops is None else flops / 1e12,
        "peak_share": None if flops is None or peak is None else flops / (peak * world),
        "device": name,
        "arithmetic": arithmetic,
        "peak_memory": peak_memory(device),
        "loading_s": spent.loading,
        "preparing_s": spent.preparing,
        "waiting_s": spent.waiting,
        "steps_s": spent.steps,
        "saving_s": spent.saving,
    }


def sentence(facts: dict[str, Any]) -> str:
    """The facts of `speed` for the log."""
    rate = ""
    if facts["regions_per_s"] is not None:
        share = "" if facts["peak_share"] is None else f" ({facts['peak_share']:.1%} of the peak)"
        rate = f"{facts['regions_per_s']:,.0f} regions/s, {facts['tflop_per_s']:.3g} TFLOP/s{share}, "
    return (
        f"{facts['steps']} steps of {facts['batch']} regions in {facts['arithmetic']} on {facts['processes']} x "
        f"{facts['device']}: {rate}at most {facts['peak_memory'] / 2**30:.2f} GiB; loading {facts['loading_s']:.1f} s, "
        f"compiling and recording {facts['preparing_s']:.1f} s, steps {facts['steps_s']:.1f} s, of which waiting for "
        f"data {facts['waiting_s']:.1f} s, saving {facts['saving_s']:.1f} s"
    )


def write_speed(metrics: Path | str, facts: dict[str, Any]) -> None:
    """Write the facts beside a job's metrics; not into them, for they differ from run to run."""
    write_text(Path(metrics).with_name(SPEED_FILE), json.dumps(facts, indent=1))
