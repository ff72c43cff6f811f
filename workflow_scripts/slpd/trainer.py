"""The training loop: warm-up by self-distillation, and the distillation of a round's prototypes.

A step depends on the global batch only. It is dealt to processes and, in each, to parts that fit the caches or the
memory; gradients and sums add up, so neither the number of devices nor the size of a part changes what is computed.
Nothing within a step waits for the device.
"""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor

from workflow_scripts.config import PretrainRun
from workflow_scripts.core.errors import UserError
from workflow_scripts.slpd.captured import Captured
from workflow_scripts.slpd.crops import centre_window
from workflow_scripts.slpd.engine import RECORDED_PART, Compile, choose_engine, to_compile, to_record
from workflow_scripts.slpd.gradients import Gradients
from workflow_scripts.slpd.inputs import Ahead, Draws, StepInputs
from workflow_scripts.slpd.network import Network
from workflow_scripts.slpd.parallel import Workers
from workflow_scripts.slpd.precision import training_dtype
from workflow_scripts.slpd.schedules import StepValues, step_values
from workflow_scripts.slpd.state import TrainState
from workflow_scripts.slpd.step_losses import MEASURES, NORMS
from workflow_scripts.slpd.targets import PrototypeTargets
from workflow_scripts.slpd.tokens import TokenData
from workflow_scripts.slpd.update import update

COLUMNS = ("epoch", "step", *MEASURES, *NORMS, "lr", "weight_decay", "momentum", "teacher_temp", "regions_per_s")
# Values of a part's tokens and of its logits on a CPU, 32 regions at the paper's setting: larger parts leave the
# caches, smaller ones the matrix units idle (tests/benchmarks/step.py).
_CPU_TOKENS, _CPU_LOGITS = 4_250_000, 21_000_000


class Step(NamedTuple):
    """What a step leaves behind: its number and epoch, the scheduled values, MEASURES and NORMS float64 on device."""

    epoch: int
    step: int
    values: StepValues
    measures: Tensor


class Trainer:
    """Runs the steps of one pretraining run over the cohort's tokens.

    Args:
        settings: the run's settings.
        data: tokens of all regions.
        workers: the processes that share every step.
        micro_batch: regions that this process holds at once; None is what fits the caches of a CPU, and the whole
            share on a GPU.
        compile: whether steps are compiled and recorded, see slpd/engine.py.

    Attributes:
        preparing_s: seconds that went into choosing what computes the steps: compiling, recording, comparing.
        waiting_s: seconds for which steps waited for their inputs to be drawn.
    """

    def __init__(
        self,
        settings: PretrainRun,
        data: TokenData,
        workers: Workers | None = None,
        micro_batch: int | None = None,
        compile: Compile = "auto",
    ) -> None:
        self.settings = settings
        self.data = data
        self.workers = workers or Workers()
        self.compile = compile
        self.preparing_s = self.waiting_s = 0.0
        self.batch = min(settings.optimiser.batch_size, len(data))
        if self.batch == 0:
            raise UserError("there is no region to train on; look at slides.parquet for why the slides were excluded")
        self.draws = Draws(settings, data, self.batch)
        self.steps_per_epoch = self.draws.steps_per_epoch
        self.part = micro_batch or (self.batch if data.device.type == "cuda" else self._cached_part())

    def _cached_part(self) -> int:
        """Regions whose tokens and logits stay in the caches of a CPU."""
        tokens = sum(1 + size**2 for size in self.draws.sizes) * self.settings.model.dim
        logits = len(self.draws.sizes) * self.settings.head.out_dim
        return max(1, min(_CPU_TOKENS // tokens, _CPU_LOGITS // logits))

    def dtype(self, state: TrainState) -> torch.dtype:
        """Arithmetic of the large products."""
        return training_dtype(self.settings, state.student)

    def values(self, step: int) -> StepValues:
        return step_values(
            self.settings.optimiser, step, self.steps_per_epoch, self.settings.schedule_epochs, self.batch
        )

    def steps(self, state: TrainState, until: int, targets: PrototypeTargets | None) -> Iterator[Step]:
        """Train to epoch `until`, step by step; a state from within an epoch goes on where it stopped."""
        first, last = state.step, until * self.steps_per_epoch
        if state.epoch >= until:
            return
        began = time.monotonic()
        engine = self._engine(state, targets, last - first)
        self.preparing_s += time.monotonic() - began
        with self._inputs(first, last, targets) as drawn:
            while (inputs := self._next(drawn)) is not None:
                epoch, number, values = state.epoch, state.step, self.values(state.step)
                measures = self._step(state, engine, inputs, values)
                state.step += 1
                state.epoch = state.step // self.steps_per_epoch
                yield Step(epoch, number, values, measures)

    def _engine(self, state: TrainState, targets: PrototypeTargets | None, steps: int) -> Gradients | Captured:
        """What computes so many steps from here on; nothing else works on a GPU while it is chosen."""
        device, run = self.data.device, (self.settings, state, self.data, targets)
        drawn = self.draws.steps(state.step, state.step + min(2, steps), targets)  # none before it is asked for
        backend = "inductor" if to_compile(self.compile, device, steps * self.batch) else None

        def make(backend: str | None, recorded: bool) -> Gradients:
            part = min(self.part, RECORDED_PART) if recorded else self.part
            return Gradients(*run, self.workers, self.batch, part, backend)

        record = to_record(self.compile, device, steps, self.workers.world)
        tried = [inputs.on(device) for inputs in drawn] if record or backend else []
        return choose_engine(make, tried, backend, record)

    def _inputs(
        self, first: int, last: int, targets: PrototypeTargets | None
    ) -> AbstractContextManager[Iterator[StepInputs]]:
        """Inputs of the steps; for a GPU they are drawn while it works, and on a CPU there is nobody free to do it."""
        drawn = self.draws.steps(first, last, targets)
        if self.data.device.type != "cuda":
            return nullcontext(drawn)
        return Ahead(inputs.pinned() for inputs in drawn)

    def _next(self, drawn: Iterator[StepInputs]) -> StepInputs | None:
        """Inputs of the next step; None after the last."""
        began = time.monotonic()
        inputs = next(drawn, None)
        self.waiting_s += time.monotonic() - began
        return inputs

    def rows(self, steps: list[Step], regions_per_s: float = 0.0) -> list[list[float]]:
        """Metric rows (COLUMNS) of steps; the only place where the host waits for the device."""
        if not steps:
            return []
        temp = self.settings.loss.teacher_temp
        table = torch.stack([step.measures for step in steps]).tolist()
        return [
            [s.epoch, s.step, *line, s.values.lr, s.values.weight_decay, s.values.momentum, temp, regions_per_s]
            for s, line in zip(steps, table, strict=True)
        ]

    def _step(self, state: TrainState, engine: Gradients | Captured, inputs: StepInputs, values: StepValues) -> Tensor:
        """One optimiser step; returns MEASURES and NORMS."""
        found = engine.compute(inputs.on(self.data.device))
        self.part = engine.part  # fewer, where memory has run out
        if state.epoch < self.settings.optimiser.freeze_last_layer_epochs:
            state.student.head.last_layer.grad = None
        update(state, found, values)
        return torch.cat([found.measures, found.norms.double()])


@torch.inference_mode()
def embed_regions(network: Network, data: TokenData, window: Tensor, batch: int = 256) -> tuple[Tensor, Tensor]:
    """Backbone features `[N, dim]` and unit bottleneck features `[N, bottleneck]` of all regions, float32, CPU.

    Args:
        network: the teacher, in eval mode.
        data: tokens of all regions.
        window: int64 `[s, s]` token indices of the view: the centre crop for clustering, the whole grid to embed.
        batch: regions at once.
    """
    window = window.to(data.device)
    features, projected = [], []
    for tokens, valid in data.batches(batch):
        hidden = None if data.all_valid else valid[:, window]
        feature, z = network.embed(tokens[:, window].to(network.head.last_layer.dtype), hidden)
        features.append(feature.cpu())
        projected.append(z.cpu())
    return torch.cat(features), torch.cat(projected)


def clustered_features(settings: PretrainRun, network: Network, data: TokenData) -> tuple[Tensor, Tensor]:
    """Backbone features `[N, dim]` of the view that is clustered, and what is clustered of it `[N, d]`.

    Args:
        settings: of the run; `prototypes.view` and `prototypes.features` say what that is.
        network: the teacher, in eval mode.
        data: tokens of all regions.
    """
    centre = settings.prototypes.view == "centre"
    size = settings.crops.global_size if centre else data.grid
    features, projected = embed_regions(network, data, centre_window(data.grid, size))
    return features, features if settings.prototypes.features == "backbone" else projected
