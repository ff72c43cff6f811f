"""Training of a network for many jobs at once.

Jobs are stacked: one batched product does a layer of all of them. Each job has its own bags, order, dropout and seed,
all drawn from its seed alone, so that its result does not depend on the jobs beside it, but for rounding.
"""

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS repeats its bits only with a fixed workspace

import numpy as np
import torch
from torch import Tensor

from workflow_scripts.core.seeds import derive_seed
from workflow_scripts.mil.bags import Bags
from workflow_scripts.mil.forward import Plan, predict
from workflow_scripts.mil.head import Job
from workflow_scripts.mil.nets.batch import Batch, Net, draw_weights
from workflow_scripts.mil.objectives import Objective
from workflow_scripts.mil.packing import Cohort, deal_to_jobs, pack

STACK = {"cpu": 2048, "cuda": 400_000}  # instances of a step of all jobs of a stack together, about
PAIRED = 64  # instances in a bag from which on the pairs of self-attention take more room than all else
AHEAD = 16  # steps for which dropout is drawn together


@dataclass(frozen=True)
class Schedule:
    """How a job is trained: `steps` of `batch` bags, Adam at `lr`; its validation loss is taken every `check` steps."""

    steps: int
    batch: int
    lr: float
    check: int


@contextmanager
def repeatable() -> Iterator[None]:
    """Deterministic arithmetic on one CPU thread (a step is small), global state restored afterwards."""
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    memory: Any = torch.utils.deterministic
    filled = memory.fill_uninitialized_memory
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    memory.fill_uninitialized_memory = False  # nothing here reads memory that it has not written
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(strict)
        memory.fill_uninitialized_memory = filled


class _Stream:
    """What one job draws: the order of its bags, pass after pass, its dropout, and the parts of its bags."""

    def __init__(self, job: Job) -> None:
        self._train = job.train
        self._order = np.random.default_rng(derive_seed(job.seed, "order"))
        self.parts = np.random.default_rng(derive_seed(job.seed, "parts"))
        self._dropout = np.random.default_rng(derive_seed(job.seed, "dropout"))
        self._waiting = np.empty(0, np.int64)
        self._masks: np.ndarray = np.empty((0,))

    def bags(self, count: int) -> np.ndarray:
        """Places in the training part of the next step's bags, int64 `[count]`."""
        while len(self._waiting) < count:
            self._waiting = np.concatenate([self._waiting, self._order.permutation(len(self._train))])
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        return taken

    def kept(self, bags: int, width: int, dropout: float) -> np.ndarray:
        """What the embeddings of the next step's bags are multiplied by, float32 `[bags, width]`."""
        if not len(self._masks):
            drawn = self._dropout.random((AHEAD, bags, width), dtype=np.float32)
            self._masks = (drawn >= dropout).astype(np.float32) / np.float32(1 - dropout)
        first, self._masks = self._masks[0], self._masks[1:]
        return first

    def kept_each(self, counts: np.ndarray, slots: int, width: int, dropout: float) -> np.ndarray:
        """The same of every instance, where bags of `counts` have `slots` each, float32 `[bags slots, width]`."""
        drawn = self._dropout.random((counts.sum(), width), dtype=np.float32)
        kept = np.zeros((len(counts), slots, width), np.float32)
        kept[np.arange(slots) < counts[:, None]] = (drawn >= dropout).astype(np.float32) / np.float32(1 - dropout)
        return kept.reshape(-1, width)


class _Stack:
    """Jobs of one batch size that are trained together."""

    def __init__(
        self, plan: Plan, cohort: Cohort, bags: Bags, jobs: Sequence[Job], schedules: Sequence[Schedule]
    ) -> None:
        self.plan, self.cohort, self.jobs, self.schedules = plan, cohort, jobs, schedules
        self.device = cohort.x.device
        self.net = plan.network(len(jobs), self.device)
        draw_weights(self.net, [derive_seed(job.seed, "weights") for job in jobs])
        scales = [cohort.scaling(job.train, bags.weights[job.train]) for job in jobs]
        self.scale = (torch.stack([s[0] for s in scales]), torch.stack([s[1] for s in scales]))
        made = [plan.objective.targets(bags, job.train) for job in jobs]
        self.targets = torch.tensor(np.stack([target for target, _ in made]), device=self.device).float()
        self.weights = [weights for _, weights in made]
        self.streams = [_Stream(job) for job in jobs]
        self.checks = [_check_weights(plan, bags, job) for job in jobs]
        self.best: list[tuple[float, dict[str, Tensor]] | None] = [None] * len(jobs)

    def step(self, adam: torch.optim.Optimizer) -> None:
        count = self.schedules[0].batch
        places = [stream.bags(count) for stream in self.streams]
        chosen = np.stack([job.train[place] for job, place in zip(self.jobs, places, strict=True)])
        batch = self._batch(chosen)
        weights = np.stack([own[place] for own, place in zip(self.weights, places, strict=True)]) / count
        loss = batch_loss(
            self.net, self.plan.objective, batch, self._targets(chosen),
            torch.tensor(weights, dtype=torch.float32, device=self.device),
        )  # fmt: skip
        adam.zero_grad(set_to_none=True)
        loss.sum().backward()
        adam.step()

    def _targets(self, chosen: np.ndarray) -> Tensor:
        job = torch.arange(len(self.jobs), device=self.device)[:, None]
        return self.targets[job, torch.from_numpy(chosen).to(self.device)]

    def _batch(self, chosen: np.ndarray) -> Batch:
        plan, parts = self.plan, None
        if self.net.parts:
            random = [stream.parts for stream in self.streams]
            parts = deal_to_jobs(self.cohort.counts[chosen], self.net.parts, self.net.padded, random)
        batch = pack(self.cohort, chosen, self.scale, self.net.padded, parts)
        keep = labels = None
        if plan.dropout:
            size = plan.sizes.hidden, plan.dropout
            if self.net.padded:
                both = zip(self.streams, self.cohort.counts[chosen], strict=True)
                drawn = [stream.kept_each(own, batch.width, *size) for stream, own in both]
            else:
                drawn = [stream.kept(chosen.shape[1], *size) for stream in self.streams]
            keep = torch.from_numpy(np.stack(drawn)).to(self.device)
        if plan.objective.outputs > 1 and self.targets.shape[-1] == 1:
            labels = self._targets(chosen).squeeze(-1).long()
        return replace(batch, keep=keep, labels=labels)

    def logits(self, number: int) -> np.ndarray:
        """Logits float64 `[n_test, C]` of a job's test bags by its network as it is."""
        own, job = self.best[number], self.jobs[number]
        weights = own[1] if own else self.weights_of(number)
        scale = (self.scale[0][number : number + 1], self.scale[1][number : number + 1])
        return predict(self.plan, self.cohort, weights, scale, job.test, job.attention)

    def weights_of(self, job: int) -> dict[str, Tensor]:
        return {name: value.detach()[job : job + 1] for name, value in self.net.named_parameters()}

    def check(self, step: int) -> None:
        """Keep a job's weights where its validation loss is the lowest so far, or where it is done and has none."""
        for number, (job, schedule) in enumerate(zip(self.jobs, self.schedules, strict=True)):
            if step > schedule.steps:
                continue
            if not len(job.validation):
                if step == schedule.steps:
                    self.best[number] = 0.0, {k: v.clone() for k, v in self.weights_of(number).items()}
            elif step % schedule.check == 0 or step == schedule.steps:
                self._compare(number)

    def _compare(self, number: int) -> None:
        job, weights, earlier = self.jobs[number], self.weights_of(number), self.best[number]
        scale = (self.scale[0][number : number + 1], self.scale[1][number : number + 1])
        logits = torch.from_numpy(predict(self.plan, self.cohort, weights, scale, job.validation))
        targets = self.targets[number].cpu().double()[torch.from_numpy(job.validation)]
        loss = self.plan.objective.loss(logits[None], targets[None], torch.from_numpy(self.checks[number])[None]).item()
        if earlier is None or loss < earlier[0]:
            self.best[number] = loss, {name: value.clone() for name, value in weights.items()}


def batch_loss(net: Net, objective: Objective, batch: Batch, targets: Tensor, weights: Tensor) -> Tensor:
    """Loss of each job, `[J]`, of targets `[J, B, K]` and weights `[J, B]`, which say how bags are summed."""
    output = net(batch)
    loss = torch.zeros(len(weights), dtype=weights.dtype, device=weights.device)
    for share, logits, valid in output.streams:
        parts = logits.shape[2]
        each = weights.unsqueeze(-1).expand(-1, -1, parts)
        each = each / parts if valid is None else each * valid / valid.sum(dim=-1, keepdim=True)
        of_parts = targets.unsqueeze(2).expand(-1, -1, parts, -1).flatten(1, 2)
        loss = loss + share * objective.loss(logits.flatten(1, 2), of_parts, each.flatten(1, 2))
    if output.own is not None:
        share, own = output.own
        loss = loss + share * (own * weights).sum(dim=-1)
    return loss


def _check_weights(plan: Plan, bags: Bags, job: Job) -> np.ndarray:
    """Weights of the validation bags, whose sum is 1."""
    if not len(job.validation):
        return np.empty(0)
    weights = plan.objective.targets(bags, job.validation)[1]
    return weights / weights.sum()


def train_jobs(
    plan: Plan, cohort: Cohort, bags: Bags, jobs: Sequence[Job], schedules: Sequence[Schedule]
) -> list[np.ndarray]:
    """Train a network for every job and predict its test bags: logits float64 `[n_test, C]` of each job.

    Of a network that has attention, that to the test bags is added up where a job wants it.
    """
    found: list[np.ndarray] = [np.empty(0)] * len(jobs)
    for members in _stacks(plan.net.padded, cohort, jobs, schedules):
        stack = _Stack(plan, cohort, bags, [jobs[i] for i in members], [schedules[i] for i in members])
        lr, steps = schedules[members[0]].lr, max(schedules[i].steps for i in members)
        adam = torch.optim.Adam(stack.net.parameters(), lr=lr, weight_decay=plan.weight_decay, fused=True)
        for step in range(1, steps + 1):
            stack.step(adam)
            stack.check(step)
        for number, i in enumerate(members):
            found[i] = stack.logits(number)
    return found


def _stacks(paired: bool, cohort: Cohort, jobs: Sequence[Job], schedules: Sequence[Schedule]) -> Iterator[list[int]]:
    """Jobs that are trained together: equal in batch size and rate, alike in steps, and not more than fit."""
    order = sorted(range(len(jobs)), key=lambda i: (schedules[i].batch, schedules[i].lr, schedules[i].steps, i))
    members: list[int] = []
    for i in order:
        first = schedules[members[0]] if members else schedules[i]
        a_step = max(1.0, schedules[i].batch * _size(cohort.counts[jobs[i].train], paired))
        room = max(1, math.floor(STACK[cohort.x.device.type] / a_step))
        alike = (schedules[i].batch, schedules[i].lr) == (first.batch, first.lr)
        if members and (not alike or len(members) >= room):
            yield members
            members = []
        members.append(i)
    if members:
        yield members


def _size(counts: np.ndarray, paired: bool) -> float:
    """Instances that a bag of the given counts int64 `[n]` takes the room of; of pairs, by the largest bag."""
    return max(float(counts.mean()), float(counts.max()) ** 2 / PAIRED) if paired else float(counts.mean())
