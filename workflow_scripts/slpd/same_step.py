"""Whether another way of computing a step gives what the step as written gives, up to rounding, tensor by tensor.

How far rounding may move a tensor is measured, since it differs by a hundred times from one to the next: in bfloat16 at
the paper's setting by 1 % of the length of most gradients, and by 60 % of those of biases that nearly cancel
(tests/unit/slpd/test_same_step.py). So the same step is computed as written in float32 as well.
"""

import math
import statistics
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from workflow_scripts.slpd.captured import Captured
from workflow_scripts.slpd.gradients import Gradients
from workflow_scripts.slpd.inputs import StepInputs

# Of a tensor's own distance to float32, or of the median one where that is larger: another order of sums rounds anew,
# and few values may be close by chance.
_TIMES = 4.0
_FLOAT32 = 1e-3  # of a tensor's length, in float32: its unit roundoff, 6e-8, times what cancels in sums of 1e4 terms
_NOISE = 1e-6  # of the length of all gradients: what is left of one that is zero but for rounding
_LOSSES = 0.01  # of a loss, or nats: bfloat16 moves losses by up to 6e-3 (docs/performance.md)


class Result(NamedTuple):
    """What a step gives: losses in nats; gradients and sums, by name."""

    losses: Tensor
    tensors: dict[str, Tensor]


class Expected(NamedTuple):
    """The step as written, and how far apart each tensor of another way may be."""

    result: Result
    bounds: dict[str, float]


Compute = Callable[[Any, StepInputs], Result]


def _gradients(engine: Gradients | Captured) -> dict[str, Tensor]:
    return {name: p.grad for name, p in engine.state.student.named_parameters() if p.grad is not None}


def own_share(engine: Gradients, inputs: StepInputs) -> Result:
    """This process's share of a step, before anything is summed over processes or clipped."""
    losses, _ = engine.own(inputs)
    terms, features, probabilities = losses.sums
    return Result(terms, _gradients(engine) | {"sum of features": features, "sum of targets": probabilities})


def whole_step(engine: Gradients | Captured, inputs: StepInputs) -> Result:
    """A step of a process that works alone, clipped: all that a recording leaves."""
    found = engine.compute(inputs)
    centers = {"centre": found.center, "centre of prototypes": found.proto_center}
    return Result(found.measures, _gradients(engine) | centers)


def _lengths(one: Result, other: Result | None = None) -> dict[str, float]:
    """Lengths of tensors, or of their differences from those of another."""
    rows = [
        value.double() if other is None else value.double() - other.tensors[name] for name, value in one.tensors.items()
    ]
    return dict(zip(one.tensors, torch.stack([row.norm() for row in rows]).tolist(), strict=True))


def expected(plain: Gradients, inputs: StepInputs, compute: Compute) -> Expected:
    """The step as written, and the bounds for others, by `compute` (`own_share` or `whole_step`)."""
    result = compute(plain, inputs)
    lengths = _lengths(result)
    noise = _NOISE * math.hypot(*(lengths[name] for name in _gradients(plain)))
    if plain.dtype == torch.bfloat16:
        rounding = _lengths(result, compute(plain.in_float32(), inputs))
        shares = [rounding[name] / length for name, length in lengths.items() if length]
        usual = statistics.median(shares) if shares else 0.0
        bounds = {name: _TIMES * max(rounding[name], usual * length) for name, length in lengths.items()}
    else:
        bounds = {name: _FLOAT32 * length for name, length in lengths.items()}
    return Expected(result, {name: bound + noise for name, bound in bounds.items()})


def require_same(wanted: Expected, found: Result) -> None:
    """Refuse a way of computing steps that gives another result than steps as written.

    Raises:
        ValueError: losses, or a tensor, are further apart than rounding may move them.
    """
    if not torch.allclose(found.losses, wanted.result.losses, rtol=_LOSSES, atol=_LOSSES):
        raise ValueError("it gives other losses")
    for name, apart in _lengths(found, wanted.result).items():
        if not apart <= wanted.bounds[name]:  # nor is what is no number
            raise ValueError(
                f"it gives another {name}: {apart:.2g} apart where rounding makes {wanted.bounds[name]:.2g}"
            )
