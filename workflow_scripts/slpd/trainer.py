"""The training loop: warm-up by self-distillation, and the distillation of a round's prototypes."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from workflow_scripts.config import PretrainRun
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.seeds import derive_seed
from workflow_scripts.slpd.crops import gather_crop, sample_windows
from workflow_scripts.slpd.losses import entropy, prototype_loss, self_loss, sharpen, update_center
from workflow_scripts.slpd.neighbours import SlideNeighbours
from workflow_scripts.slpd.network import Network
from workflow_scripts.slpd.prototypes import SlidePrototypes
from workflow_scripts.slpd.schedules import StepValues, step_values
from workflow_scripts.slpd.state import TrainState

METRICS = ("loss", "loss_self", "loss_intra", "loss_inter", "teacher_entropy", "center_norm")
COLUMNS = ("epoch", "step", *METRICS, "lr", "weight_decay", "momentum", "teacher_temp", "regions_per_s")


@dataclass(frozen=True)
class TokenData:
    """Tokens of all N regions.

    Attributes:
        tokens: float16 `[N, g*g, D]`.
        valid: bool `[N, g*g]`, False where a token is padding or unreadable.
        grid: g.
    """

    tokens: Tensor
    valid: Tensor
    grid: int

    @classmethod
    def from_arrays(cls, tokens: np.ndarray, read_ok: np.ndarray, device: torch.device) -> "TokenData":
        """From `[N, g, g, D]` features and `[N, g, g]` flags."""
        flat = torch.from_numpy(tokens).flatten(1, 2).to(device)
        return cls(flat, torch.from_numpy(read_ok).flatten(1).to(device), tokens.shape[1])


class PrototypeTargets:
    """For every region, the prototypes it distils: its own, and the matched ones of the nearest slides.

    `vectors[index[0]]` is the own prototype of each region (L_intra), `vectors[index[1:]]` the neighbours'
    (L_inter); `index` is int64 `[1 + R, N]`, -1 where there is none.
    """

    def __init__(
        self, prototypes: SlidePrototypes, neighbours: SlideNeighbours, slide_index: np.ndarray, device: torch.device
    ) -> None:
        _, m, d = prototypes.vectors.shape
        own = prototypes.assignment
        slide = np.asarray(slide_index)
        rows = [np.where(own >= 0, slide * m + own, -1)]
        for rank in range(neighbours.index.shape[1]):
            other = neighbours.index[slide, rank]
            matched = neighbours.matching[slide, rank, np.maximum(own, 0)]
            rows.append(np.where((own >= 0) & (other >= 0), other * m + matched, -1))
        self.index = torch.from_numpy(np.stack(rows)).to(device)
        self.vectors = torch.from_numpy(prototypes.vectors.reshape(-1, d)).to(device)


class Trainer:
    """Runs epochs of one pretraining run over the cohort's tokens.

    Args:
        settings: the run's settings.
        data: tokens of all regions, on the training device.
    """

    def __init__(self, settings: PretrainRun, data: TokenData) -> None:
        self.settings = settings
        self.data = data
        self.batch = min(settings.optimiser.batch_size, len(data.tokens))
        if self.batch == 0:
            raise UserError("there is no region to train on; look at slides.parquet for why the slides were excluded")
        self.steps_per_epoch = len(data.tokens) // self.batch  # the last partial batch is left out, as published
        self.all_valid = bool(data.valid.all())  # attention without a mask is faster
        self.sizes = [settings.crops.global_size] * settings.crops.global_count
        self.sizes += [settings.crops.local_size] * settings.crops.local_count

    def values(self, step: int) -> StepValues:
        return step_values(
            self.settings.optimiser, step, self.steps_per_epoch, self.settings.schedule_epochs, self.batch
        )

    def run_epochs(
        self,
        state: TrainState,
        until: int,
        targets: PrototypeTargets | None,
        after_epoch: Callable[[list[list[float]]], None] | None = None,
    ) -> list[list[float]]:
        """Train from `state.epoch` to `until`; `after_epoch` gets the epoch's metric rows (see COLUMNS)."""
        rows: list[list[float]] = []
        while state.epoch < until:
            new = self._run_epoch(state, targets)
            rows += new
            if after_epoch:
                after_epoch(new)
        return rows

    def _run_epoch(self, state: TrainState, targets: PrototypeTargets | None) -> list[list[float]]:
        shuffle = torch.Generator().manual_seed(derive_seed(self.settings.seed, "epoch", state.epoch))
        order = torch.randperm(len(self.data.tokens), generator=shuffle)
        order = order[: self.steps_per_epoch * self.batch].reshape(-1, self.batch).to(self.data.tokens.device)
        frozen = state.epoch < self.settings.optimiser.freeze_last_layer_epochs
        began, measured, used = time.perf_counter(), [], []
        for batch in order:
            values = self.values(state.step)
            measured.append(self._step(state, batch, targets, values, frozen))
            used.append((state.step, values))
            state.step += 1
        table = torch.stack(measured).cpu()  # the only synchronisation of an epoch
        rate = order.numel() / max(time.perf_counter() - began, 1e-9)
        if not torch.isfinite(table).all():
            raise UserError(
                f"the loss became non-finite in epoch {state.epoch}; "
                "lower pretrain.defaults.optimiser.lr or raise pretrain.defaults.loss.teacher_temp, and run again"
            )
        temp = self.settings.loss.teacher_temp
        rows = [
            [state.epoch, step, *line, v.lr, v.weight_decay, v.momentum, temp, rate]
            for (step, v), line in zip(used, table.tolist(), strict=True)
        ]
        state.epoch += 1
        return rows

    def _windows(self, valid: Tensor, step: int) -> list[Tensor]:
        """Token indices `[B, s, s]` of the batch's crops, global ones first."""
        generator = torch.Generator().manual_seed(derive_seed(self.settings.seed, "crops", step))
        grid = valid.unflatten(1, (self.data.grid, self.data.grid))
        return [sample_windows(grid, size, self.settings.crops.flip, generator) for size in self.sizes]

    def _logits(self, network: Network, tokens: Tensor, valid: Tensor, windows: list[Tensor]) -> Tensor:
        """Logits `[V, B, C]` of the crops of regions `[B, g*g, D]`; crops of one size go in one batch.

        The token embedding acts on each token alone, so it is done once a region and shared by all crops.
        """
        embedded = network.backbone.embed_tokens(tokens)
        features = []
        for size in dict.fromkeys(window.shape[1] for window in windows):
            crops = [gather_crop(embedded, valid, window) for window in windows if window.shape[1] == size]
            crop_tokens, crop_valid = torch.cat([t for t, _ in crops]), torch.cat([v for _, v in crops])
            features.append(network.backbone.encode(crop_tokens, None if self.all_valid else crop_valid))
        return network.head(torch.cat(features)).unflatten(0, (len(windows), -1))

    def _step(
        self, state: TrainState, batch: Tensor, targets: PrototypeTargets | None, values: StepValues, frozen: bool
    ) -> Tensor:
        loss_cfg = self.settings.loss
        tokens, valid = self.data.tokens[batch].to(state.student.head.last_layer.dtype), self.data.valid[batch]
        windows = self._windows(valid, state.step)
        torch.manual_seed(derive_seed(self.settings.seed, "drop path", state.step))
        student = self._logits(state.student, tokens, valid, windows) / loss_cfg.student_temp
        with torch.no_grad():
            teacher = self._logits(state.teacher, tokens, valid, windows[: self.settings.crops.global_count])
            probabilities = sharpen(teacher, state.center, loss_cfg.teacher_temp)
        lse = student.logsumexp(dim=-1)
        own = self_loss(probabilities, student, lse)
        intra, inter = self._prototype_losses(state, batch, targets, student, lse)
        loss = own  # the warm-up is L_self alone, whatever the weights of the rounds
        if targets is not None:
            loss = loss_cfg.self_weight * own + loss_cfg.intra_weight * intra + loss_cfg.inter_weight * inter
        self._update(state, loss, values, frozen)
        state.center = update_center(state.center, teacher, None, loss_cfg.center_momentum)
        parts = [loss, own, intra, inter, entropy(probabilities), state.center.norm()]
        return torch.stack([part.detach().double() for part in parts])

    def _prototype_losses(
        self, state: TrainState, batch: Tensor, targets: PrototypeTargets | None, student: Tensor, lse: Tensor
    ) -> tuple[Tensor, Tensor]:
        """L_intra and L_inter; one update of the prototypes' centre from both kinds of targets."""
        if targets is None:
            zero = student.new_zeros(())
            return zero, zero
        loss_cfg = self.settings.loss
        index = targets.index[:, batch]
        # a loss with weight 0 takes no part at all, not even in the centre
        wanted = [loss_cfg.intra_weight > 0] + [loss_cfg.inter_weight > 0] * (len(index) - 1)
        present = (index >= 0) & torch.tensor(wanted, device=index.device)[:, None]
        with torch.no_grad():
            # the current teacher's last layer is applied to prototypes that stay fixed for the round
            logits = state.teacher.head.logits(targets.vectors[index.clamp(min=0)])
            probabilities = sharpen(logits, state.proto_center, loss_cfg.teacher_temp)
            state.proto_center = update_center(state.proto_center, logits, present, loss_cfg.center_momentum)
        intra = prototype_loss(probabilities[:1], present[:1], student, lse)
        inter = prototype_loss(probabilities[1:], present[1:], student, lse)
        return intra, inter

    def _update(self, state: TrainState, loss: Tensor, values: StepValues, frozen: bool) -> None:
        """One optimiser step, then the teacher follows the student."""
        state.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        clip = self.settings.optimiser.clip_grad
        for parameter in state.student.parameters():
            if clip and parameter.grad is not None:
                parameter.grad.mul_((clip / (parameter.grad.norm() + 1e-6)).clamp(max=1.0))
        if frozen:
            state.student.head.last_layer.grad = None
        for place, group in enumerate(state.optimiser.param_groups):
            group["lr"] = values.lr
            group["weight_decay"] = values.weight_decay if place == 0 else 0.0
        state.optimiser.step()
        with torch.no_grad():
            teacher, student = list(state.teacher.parameters()), list(state.student.parameters())
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
    network.eval()
    window = window.to(data.tokens.device)
    masked = not bool(data.valid.all())
    features, projected = [], []
    for rows in range(0, len(data.tokens), batch):
        tokens, valid = data.tokens[rows : rows + batch], data.valid[rows : rows + batch]
        feature, z = network.embed(tokens[:, window].float(), valid[:, window] if masked else None)
        features.append(feature.cpu())
        projected.append(F.normalize(z, dim=-1).cpu())
    return torch.cat(features), torch.cat(projected)
