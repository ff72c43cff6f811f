"""A second implementation of training, float64, one region, crop and parameter after another (method: B, C, D).

From the fast engine it takes the random streams only: the order of an epoch's regions, the windows of a step's crops
and the uniform draws of stochastic depth. Networks, losses, centres, clipping, optimiser, teacher and schedules are its
own.
"""

import numpy as np
import torch
from scipy.stats import entropy
from torch import Tensor

from workflow_scripts.config import Loss, PretrainRun
from workflow_scripts.core.seeds import derive_seed
from workflow_scripts.slpd.crops import allowed_windows, sample_windows

from . import cohort, plain


class PlainPrototypeLosses:
    """L_intra and L_inter, and the centre or centres of the prototypes' logits; all start at 0.

    A loss of weight 0 takes no part: it is 0, and no centre knows of its targets.
    """

    def __init__(self, settings: Loss, units: int) -> None:
        self.settings = settings
        self.centers = {name: torch.zeros(units, dtype=torch.float64) for name in ("one", "intra", "inter")}
        self.entropies: dict[str, list[float]] = {"intra": [], "inter": []}  # of the targets of each step, nats
        self.balanced: dict[int, Tensor] = {}  # with `sinkhorn`: the target of each logits of the step

    def center_name(self, kind: str) -> str:
        return kind if self.settings.proto_center == "separate" else "one"

    def center_of(self, kind: str, self_center: Tensor) -> Tensor:
        """What is taken from the logits of a kind of targets, now."""
        if self.settings.proto_center == "dino":
            return self_center
        return self.centers[self.center_name(kind)]  # "none" is never moved from 0

    def target_of(self, logits: Tensor, center: Tensor) -> Tensor:
        if self.settings.proto_center == "sinkhorn":
            return self.balanced[id(logits)]
        return plain.softmax((logits - center) / self.settings.teacher_temp)

    def move_center(self, name: str, logits: list[Tensor]) -> None:
        momentum = self.settings.center_momentum
        if logits:
            self.centers[name] = momentum * self.centers[name] + (1 - momentum) * sum(logits) / len(logits)

    def one_kind(
        self, kind: str, rows: list[list[Tensor | None]], student: Tensor, self_center: Tensor, weights: Tensor | None
    ) -> Tensor:
        center = self.center_of(kind, self_center)
        slots = len(rows[0])
        targets = torch.zeros(slots, len(rows), student.shape[2], dtype=torch.float64)
        present = torch.zeros(slots, len(rows), dtype=torch.bool)
        for b, row in enumerate(rows):
            for t, logits in enumerate(row):
                if logits is not None:
                    targets[t, b] = self.target_of(logits, center)
                    present[t, b] = True
        counts = torch.ones(slots, len(rows)) if weights is None else weights
        mine = []
        for b in range(len(rows)):
            there = [t for t in range(slots) if present[t, b]]
            if there:
                parts = [counts[t, b].item() * entropy(targets[t, b]) for t in there]
                mine.append(sum(parts) / sum(counts[t, b].item() for t in there))
        self.entropies[kind].append(float(np.mean(mine or [0.0])))
        return plain.prototype_loss(targets, present, student, self.settings.skip_same_index, weights)

    def losses(
        self, rows: list[list[Tensor | None]], student: Tensor, self_center: Tensor, weights: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Of a batch: `rows[b][0]` are the logits of region b's own prototype, `rows[b][1:]` of the neighbours'.

        Args:
            rows: None where a region has no such target.
            student: `[V, B, C]` logits over temperature.
            self_center: the centre that L_self uses in this step.
            weights: `[R, B]` of the neighbours; None where all count alike.
        """
        mode, values, used = self.settings.proto_center, {}, []
        parts = {"intra": [row[:1] for row in rows], "inter": [row[1:] for row in rows]}
        of_kind = {"intra": self.settings.intra_weight, "inter": self.settings.inter_weight}
        if mode == "sinkhorn":
            whole = [x for kind, part in parts.items() if of_kind[kind] for row in part for x in row if x is not None]
            found = plain.sinkhorn(whole, self.settings.teacher_temp) if whole else []
            self.balanced = {id(x): target for x, target in zip(whole, found, strict=True)}
        for kind, part in parts.items():
            if of_kind[kind] == 0:
                values[kind] = torch.zeros((), dtype=torch.float64)
                continue
            values[kind] = self.one_kind(kind, part, student, self_center, weights if kind == "inter" else None)
            logits = [x for row in part for x in row if x is not None]
            used += logits
            # after each call: L_inter meets a moved shared centre (docs/method.md, row 6)
            if mode in ("shared", "separate"):
                self.move_center(self.center_name(kind), logits)
        if mode == "joint":
            self.move_center("one", used)
        return values["intra"], values["inter"]

    def stored(self) -> Tensor:
        """As the state keeps it: `[C]`, or `[2, C]` for separate centres."""
        if self.settings.proto_center == "separate":
            return torch.stack([self.centers["intra"], self.centers["inter"]])
        return self.centers["one"]


class PlainTraining:
    """One pretraining run.

    Args:
        settings: the run's settings.
        state: a fresh fast state, for its initial weights only.
        data: the cohort's arrays.
        prototypes: vectors `[S, M, d]`, assignment `[N]`.
        neighbours: index `[S, R]`, matching `[S, R, M]`.
        slide_index: `[N]` slide of each region.
        shares: `[N, M]` mixture of its slide's prototypes that a region distils; None where it has its own alone.
    """

    def __init__(
        self, settings: PretrainRun, state, data, prototypes, neighbours, slide_index=cohort.SLIDE_INDEX, shares=None
    ):
        self.settings, self.data, self.prototypes, self.neighbours = settings, data, prototypes, neighbours
        self.slide_index, self.shares = slide_index, shares
        named = {n.removeprefix("backbone."): p.detach().double() for n, p in state.student.named_parameters()}
        self.student = {name: p.clone().requires_grad_() for name, p in named.items()}
        self.teacher = {n.removeprefix("backbone."): p.double().clone() for n, p in state.teacher.named_parameters()}
        self.moments = {name: (0.0, 0.0, 0) for name in named}
        self.center = torch.zeros(settings.head.out_dim, dtype=torch.float64)
        self.proto = PlainPrototypeLosses(settings.loss, settings.head.out_dim)
        self.batch = min(settings.optimiser.batch_size, len(slide_index))
        self.step = 0
        self.clipped = 0
        self.gradients: dict[str, Tensor] = {}  # of the last step, before clipping

    @property
    def proto_center(self) -> Tensor:
        return self.proto.stored()

    def crop_logits(self, weights, regions, windows, scales=None):
        model, size = self.settings.model, self.settings.crops.global_size
        out = []
        for v, window in enumerate(windows):
            row = []
            for b, n in enumerate(regions):
                crop, valid = self.data.tokens[n][window[b]].double(), self.data.valid[n][window[b]].flatten()
                keep, scale = valid.nonzero()[:, 0].tolist(), scales[v][b] if scales else None
                feature = plain.vit(weights, crop, keep, model.heads, model.depth, size, scale)
                row.append(plain.logits(weights, feature))
            out.append(torch.stack(row))
        return torch.stack(out)

    def drop_path(self, crops, batch):
        """Factors `[V][B][depth][2]` of the student's residual branches: 0 or 1 / (1 - rate), rates linear from 0."""
        depth, last = self.settings.model.depth, self.settings.model.drop_path
        if last == 0:
            return None
        generator = torch.Generator().manual_seed(derive_seed(self.settings.seed, "drop path", self.step))
        draws = torch.rand(depth, 2, crops, batch, generator=generator)
        rates = [last * block / (depth - 1) for block in range(depth)]
        return [
            [
                [[float(draws[k, i, v, b] < 1 - rates[k]) / (1 - rates[k]) for i in range(2)] for k in range(depth)]
                for b in range(batch)
            ]
            for v in range(crops)
        ]

    def target_vectors(self, n):
        """Own prototype and the neighbours' matched ones of region n; None where there is none."""
        slide, own = self.slide_index[n], self.prototypes.assignment[n]
        if own < 0:
            return [None] * (1 + self.neighbours.index.shape[1])
        share = np.eye(self.prototypes.vectors.shape[1])[own] if self.shares is None else self.shares[n]
        found = [sum(w * self.prototypes.vectors[slide, m] for m, w in enumerate(share))]
        for other, matching in zip(self.neighbours.index[slide], self.neighbours.matching[slide], strict=True):
            mixed = sum(w * self.prototypes.vectors[other, matching[m]] for m, w in enumerate(share))
            found.append(None if other < 0 else mixed)
        return [None if v is None else torch.from_numpy(v).double() for v in found]

    def neighbour_weights(self, regions):
        """Weights `[R, B]` by the mean cosine of the matched prototypes; None where all neighbours count alike."""
        temp, count = self.settings.loss.neighbour_temp, self.settings.prototypes.count
        if not temp:
            return None
        likeness = torch.from_numpy(np.stack([self.neighbours.similarity[self.slide_index[n]] for n in regions]))
        return torch.exp(likeness.double() / count / temp).T

    def target_logits(self, vector):
        """The current teacher's logits of a prototype: of the bottleneck, or of the backbone through the whole head."""
        if vector is None:
            return None
        whole_head = self.settings.prototypes.features == "backbone"
        return (plain.logits if whole_head else plain.last_layer)(self.teacher, vector)

    def losses(self, regions, windows, rounds):
        """Total, L_self, L_intra, L_inter of a batch; moves the centres. Before the `rounds` it is L_self alone."""
        cfg, crops = self.settings.loss, self.settings.crops
        scales = self.drop_path(len(windows), len(regions))
        student = self.crop_logits(self.student, regions, windows, scales) / cfg.student_temp
        with torch.no_grad():
            teacher = self.crop_logits(self.teacher, regions, windows[: crops.global_count])
            rows = [[self.target_logits(v) for v in self.target_vectors(n)] for n in regions] if rounds else []
        q = torch.stack([torch.stack([plain.softmax((x - self.center) / cfg.teacher_temp) for x in row])
                         for row in teacher])  # fmt: skip
        own = plain.self_loss(q, student)
        intra = inter = torch.zeros((), dtype=torch.float64)
        loss = own
        if rounds:
            intra, inter = self.proto.losses(rows, student, self.center, self.neighbour_weights(regions))
            loss = cfg.self_weight * own + cfg.intra_weight * intra + cfg.inter_weight * inter
        views = [logits for row in teacher for logits in row]
        mean = sum(views) / len(views)
        self.center = cfg.center_momentum * self.center + (1 - cfg.center_momentum) * mean
        return loss, own, intra, inter

    def values(self, per_epoch):
        """Learning rate, weight decay and teacher momentum of this step."""
        opt, steps = self.settings.optimiser, per_epoch * self.settings.schedule_epochs
        peak, warm = opt.lr * self.batch / 256, opt.lr_warmup_epochs * per_epoch
        lr = plain.learning_rate(peak, opt.lr_min, self.step, warm, steps)
        decay = plain.half_cosine(opt.weight_decay, opt.weight_decay_end, self.step, steps)
        return lr, decay, plain.half_cosine(opt.teacher_momentum, 1.0, self.step, steps)

    def update(self, loss, lr, decay, momentum, frozen):
        """Each parameter on its own: clip, AdamW unless it is frozen, then the teacher follows."""
        names = list(self.student)
        for name, gradient in zip(names, torch.autograd.grad(loss, [self.student[n] for n in names]), strict=True):
            self.gradients[name] = gradient
            gradient, clipped = plain.clip(gradient, self.settings.optimiser.clip_grad)
            self.clipped += clipped
            p = self.student[name].detach()
            if not (frozen and name == "head.last_layer"):
                decays = decay if p.ndim > 1 else 0.0
                p, self.moments[name] = plain.adamw(p, self.moments[name], gradient, lr, decays)
            self.student[name] = p.requires_grad_()
            self.teacher[name] = momentum * self.teacher[name] + (1 - momentum) * p.detach()

    def run_step(self, regions, per_epoch, frozen, rounds=True):
        crops, grid = self.settings.crops, self.data.grid
        generator = torch.Generator().manual_seed(derive_seed(self.settings.seed, "crops", self.step))
        valid = self.data.valid[regions].reshape(-1, grid, grid)
        sizes = [crops.global_size] * crops.global_count + [crops.local_size] * crops.local_count
        windows = [
            sample_windows(allowed_windows(valid, size), valid.shape[-1], size, crops.flip, generator) for size in sizes
        ]
        found = self.losses(regions, windows, rounds)
        lr, decay, momentum = self.values(per_epoch)
        self.update(found[0], lr, decay, momentum, frozen)
        self.step += 1
        return [x.item() for x in found] + [lr, decay, momentum]

    def run_epoch(self, epoch, batch, rounds=True):
        """One epoch: whole batches in the epoch's order; regions left over are not seen. One row a step."""
        shuffle = torch.Generator().manual_seed(derive_seed(self.settings.seed, "epoch", epoch))
        order = torch.randperm(len(self.slide_index), generator=shuffle).tolist()
        per_epoch = len(order) // batch
        frozen = epoch < self.settings.optimiser.freeze_last_layer_epochs
        return [self.run_step(order[i * batch : (i + 1) * batch], per_epoch, frozen, rounds) for i in range(per_epoch)]

    def run(self, epochs, warm_epoch):
        """Epochs from 0; the published test: prototypes count once `epoch > warm_epoch`."""
        return [line for epoch in range(epochs) for line in self.run_epoch(epoch, self.batch, epoch > warm_epoch)]
