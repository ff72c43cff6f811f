"""Learning rate, weight decay and teacher momentum of every optimiser step."""

import math
from dataclasses import dataclass

from workflow_scripts.config import Optimiser


def cosine(start: float, end: float, step: int, steps: int, warmup_steps: int = 0) -> float:
    """Linear warm-up from 0 to `start`, then a half cosine to `end`; constant `end` beyond `steps`.

    The warm-up reaches `start` on its last step, as numpy.linspace does; the cosine starts on the next one.
    """
    if step < warmup_steps:
        return start * step / (warmup_steps - 1) if warmup_steps > 1 else 0.0
    if step >= steps:
        return end
    progress = (step - warmup_steps) / (steps - warmup_steps)
    return end + 0.5 * (start - end) * (1 + math.cos(math.pi * progress))


@dataclass(frozen=True)
class StepValues:
    """What a step uses: learning rate, weight decay, teacher momentum."""

    lr: float
    weight_decay: float
    momentum: float


def step_values(
    settings: Optimiser, step: int, steps_per_epoch: int, schedule_epochs: int, batch_size: int | None = None
) -> StepValues:
    """Values of optimiser step `step` (from 0).

    The peak learning rate is `lr * batch_size / 256` (linear scaling rule), for the batch in use where it is
    smaller than the configured one; momentum rises to 1.
    """
    steps = steps_per_epoch * schedule_epochs
    warmup = steps_per_epoch * settings.lr_warmup_epochs
    peak = settings.lr * (batch_size or settings.batch_size) / 256
    return StepValues(
        lr=cosine(peak, settings.lr_min, step, steps, warmup),
        weight_decay=cosine(settings.weight_decay, settings.weight_decay_end, step, steps),
        momentum=cosine(settings.teacher_momentum, 1.0, step, steps),
    )
