"""The training loop: warm-up by self-distillation, and the distillation of a round's prototypes.

A step depends on the global batch only. It is dealt to processes and, in each, to parts that fit the caches or the
memory; gradients and sums add up, so neither the number of devices nor the size of a part changes what is computed.
Nothing within a step waits for the device.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from workflow_scripts.config import PretrainRun
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.seeds import derive_seed
from workflow_scripts.slpd.crops import gather_crops, sample_keep, sample_windows
from workflow_scripts.slpd.network import Network
from workflow_scripts.slpd.parallel import Workers
from workflow_scripts.slpd.precision import training_dtype
from workflow_scripts.slpd.schedules import StepValues, step_values
from workflow_scripts.slpd.state import TrainState
from workflow_scripts.slpd.step_losses import MEASURES, StepLosses
from workflow_scripts.slpd.targets import PrototypeTargets
from workflow_scripts.slpd.tokens import TokenData, on_device

COLUMNS = ("epoch", "step", *MEASURES, "lr", "weight_decay", "momentum", "teacher_temp", "regions_per_s")
# Values of a part's tokens and of its logits on a CPU, 32 regions at the paper's setting: larger parts leave the
# caches, smaller ones the matrix units idle (tests/benchmarks/step.py).
_CPU_TOKENS, _CPU_LOGITS = 4_250_000, 21_000_000


class Step(NamedTuple):
    """What a step leaves behind: its number, its epoch, the scheduled values, and MEASURES float64 on the device."""

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
    """

    def __init__(
        self, settings: PretrainRun, data: TokenData, workers: Workers | None = None, micro_batch: int | None = None
    ) -> None:
        self.settings = settings
        self.data = data
        self.workers = workers or Workers()
        self.batch = min(settings.optimiser.batch_size, len(data))
        if self.batch == 0:
            raise UserError("there is no region to train on; look at slides.parquet for why the slides were excluded")
        self.steps_per_epoch = len(data) // self.batch  # the last partial batch is left out, as published
        crops = settings.crops
        self.sizes = [crops.global_size] * crops.global_count + [crops.local_size] * crops.local_count
        self.part = micro_batch or (self.batch if data.device.type == "cuda" else self._cached_part())

    def _cached_part(self) -> int:
        """Regions whose tokens and logits stay in the caches of a CPU."""
        tokens = sum(1 + size**2 for size in self.sizes) * self.settings.model.dim
        logits = len(self.sizes) * self.settings.head.out_dim
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
        while state.epoch < until:
            epoch = state.epoch
            frozen = epoch < self.settings.optimiser.freeze_last_layer_epochs
            for batch in self._order(epoch)[state.step - epoch * self.steps_per_epoch :]:
                number, values = state.step, self.values(state.step)
                measures = self._step(state, batch, targets, values, frozen)
                state.step += 1
                state.epoch = state.step // self.steps_per_epoch
                yield Step(epoch, number, values, measures)

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

    def _order(self, epoch: int) -> Tensor:
        """Regions of every step of an epoch, int64 `[steps, batch]` on the CPU."""
        shuffle = torch.Generator().manual_seed(derive_seed(self.settings.seed, "epoch", epoch))
        order = torch.randperm(len(self.data), generator=shuffle)
        return order[: self.steps_per_epoch * self.batch].reshape(-1, self.batch)

    def _windows(self, valid: Tensor, step: int) -> list[Tensor]:
        """Token indices `[V, B, s, s]` of the batch's crops, one tensor a size, global crops first. CPU."""
        generator = torch.Generator().manual_seed(derive_seed(self.settings.seed, "crops", step))
        grid = valid.unflatten(1, (self.data.grid, self.data.grid))
        windows = [sample_windows(grid, size, self.settings.crops.flip, generator) for size in self.sizes]
        count = self.settings.crops.global_count
        groups = [windows[:count], windows[count:]]
        if self.settings.crops.local_size == self.settings.crops.global_size:
            groups = [windows]
        return [torch.stack(group) for group in groups if group]

    def _keep(self, step: int) -> Tensor | None:
        """Stochastic depth of the student, `[depth, 2, V, B]`; see `sample_keep`."""
        generator = torch.Generator().manual_seed(derive_seed(self.settings.seed, "drop path", step))
        model = self.settings.model
        return sample_keep(model.drop_path, model.depth, len(self.sizes), self.batch, generator)

    def _step(
        self, state: TrainState, batch: Tensor, targets: PrototypeTargets | None, values: StepValues, frozen: bool
    ) -> Tensor:
        """One optimiser step on the regions `batch` (CPU); returns MEASURES."""
        windows, keep = self._windows(self.data.valid[batch], state.step), self._keep(state.step)
        student = state.student.head.directions()
        leaf = student.detach().requires_grad_()
        with torch.no_grad():
            teacher = state.teacher.head.directions()
            losses = StepLosses(self.settings, state, leaf, teacher, self.batch)
            losses.set_prototypes(targets, batch)
        state.optimiser.zero_grad(set_to_none=True)
        share = self.workers.share(self.batch)
        for start in range(share.start, share.stop, self.part):
            rows = slice(start, min(start + self.part, share.stop))
            losses.add(*self._features(state, batch, windows, keep, rows), rows)
        if leaf.grad is not None:
            student.backward(leaf.grad)
        self.workers.sum([*self._gradients(state.student), *losses.sums])
        self._update(state, values, frozen)
        return losses.finish()

    @staticmethod
    def _gradients(network: Network) -> list[Tensor]:
        """Gradients of all parameters: a process without regions adds zeros."""
        for parameter in network.parameters():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        return [parameter.grad for parameter in network.parameters() if parameter.grad is not None]

    def _features(
        self, state: TrainState, batch: Tensor, windows: list[Tensor], keep: Tensor | None, rows: slice
    ) -> tuple[Tensor, Tensor]:
        """Unit features of the regions `batch[rows]`: the student's `[V, b, d]`, the teacher's `[G, b, d]`."""
        device, dtype = self.data.device, self.dtype(state)
        tokens, valid = self.data.take(batch[rows])
        tokens = tokens.to(dtype)
        mine = [on_device(device, window[:, rows]) for window in windows]
        kept = None if keep is None else on_device(device, keep[:, :, :, rows]).to(dtype)
        student = self._embed(state.student, tokens, valid, mine, kept)
        with torch.no_grad():
            crops = [mine[0][: self.settings.crops.global_count]]
            teacher = self._embed(state.teacher, tokens, valid, crops, None)
        return student, teacher

    def _embed(
        self, network: Network, tokens: Tensor, valid: Tensor, windows: list[Tensor], keep: Tensor | None
    ) -> Tensor:
        """Unit bottleneck features `[V, b, d]` of crops of regions `[b, g*g, D]`; crops of one size go in one batch.

        The token embedding acts on each token alone, so it is done once a region and shared by all crops.
        """
        embedded, features, first = network.backbone.embed_tokens(tokens), [], 0
        for window in windows:
            crops, crop_valid = gather_crops(embedded, valid, window)
            kept = None if keep is None else keep[:, :, first : first + len(window)].flatten(2)
            hidden = None if self.data.all_valid else crop_valid  # attention without a mask is faster
            features.append(network.backbone.encode(crops, hidden, kept))
            first += len(window)
        return network.head.project(torch.cat(features)).unflatten(0, (first, -1))

    def _update(self, state: TrainState, values: StepValues, frozen: bool) -> None:
        """Clip each gradient on its own, take one optimiser step, and let the teacher follow the student."""
        clip = self.settings.optimiser.clip_grad
        if clip:
            gradients = self._gradients(state.student)
            norms = torch.stack(torch._foreach_norm(gradients))
            factors: list[Tensor] = list((clip / (norms + 1e-6)).clamp(max=1.0).unbind())
            torch._foreach_mul_(gradients, factors)
        if frozen:
            state.student.head.last_layer.grad = None
        for place, group in enumerate(state.optimiser.param_groups):
            group["lr"] = values.lr
            group["weight_decay"] = values.weight_decay if place == 0 else 0.0
        state.optimiser.step()
        with torch.no_grad():
            teacher: list[Tensor] = list(state.teacher.parameters())
            student = [parameter.detach() for parameter in state.student.parameters()]
            torch._foreach_mul_(teacher, values.momentum)
            torch._foreach_add_(teacher, student, alpha=1 - values.momentum)


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
