"""What a step changes: student, optimiser, teacher and centres. It is all that does, and comes last.

So a step that ends before it, out of memory, has changed nothing and can be taken again.
"""

import torch
from torch import Tensor

from workflow_scripts.slpd.schedules import StepValues
from workflow_scripts.slpd.state import TrainState
from workflow_scripts.slpd.step_losses import Found


def norms_of(tensors: list[Tensor]) -> Tensor:
    """Euclidean norm of each of n tensors, `[n]`."""
    return torch.stack(torch._foreach_norm(tensors))


def clip(gradients: list[Tensor], norms: Tensor, largest: float) -> None:
    """Scale each gradient on its own, in place, to a norm of at most `largest`.

    Args:
        gradients: n of them.
        norms: theirs, `[n]`.
        largest: norm.
    """
    factors: list[Tensor] = list((largest / (norms + 1e-6)).clamp(max=1.0).unbind())
    torch._foreach_mul_(gradients, factors)


def _make_moments(optimiser: torch.optim.AdamW) -> None:
    """What the optimiser keeps of each parameter with a gradient: as it would itself, but for all before any update."""
    for group in optimiser.param_groups:
        for parameter in group["params"]:
            if parameter.grad is not None and not optimiser.state[parameter]:
                optimiser.state[parameter] = {
                    "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
                    "exp_avg": torch.zeros_like(parameter),
                    "exp_avg_sq": torch.zeros_like(parameter),
                }


def update(state: TrainState, found: Found, values: StepValues) -> None:
    """Take one optimiser step by the parameters' gradients, let the teacher follow, and move the centres.

    All memory is asked for before the first change, and all changes are in place.
    """
    _make_moments(state.optimiser)
    for place, group in enumerate(state.optimiser.param_groups):
        group["lr"] = values.lr
        group["weight_decay"] = values.weight_decay if place == 0 else 0.0
    state.optimiser.step()
    with torch.no_grad():
        teacher: list[Tensor] = list(state.teacher.parameters())
        student = [parameter.detach() for parameter in state.student.parameters()]
        torch._foreach_mul_(teacher, values.momentum)
        torch._foreach_add_(teacher, student, alpha=1 - values.momentum)
        state.center.copy_(found.center)
        state.proto_center.copy_(found.proto_center)
