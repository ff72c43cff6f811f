"""The engine against the plain engine of the tests, which is float64, on the CPU, and one region after another.

Both start from the same weights, rounded to float32, and train some epochs: the first with L_self alone, then with all
three losses, with slides and regions that lack targets, and with padded regions. Told is the largest relative
difference of any loss of any step. The network is wider than that of the unit tests: in one of 4 to 8 values a vector
the rounding of bfloat16 does not average out (3e-2 there, 6e-3 here, 1e-4 at the paper's width).
"""

from collections.abc import Iterator
from itertools import islice

import torch
from torch import Tensor

from tests.gpu.options import Measured, Options, torch_device
from tests.gpu.ways import FAR, forget_compiled, not_so, told_lines, ways
from tests.unit.slpd import cohort, plain
from tests.unit.slpd.both_engines import LOSSES, column
from tests.unit.slpd.plain_engine import PlainTraining
from workflow_scripts.config import PretrainRun
from workflow_scripts.slpd.state import TrainState, new_state
from workflow_scripts.slpd.targets import PrototypeTargets
from workflow_scripts.slpd.tokens import TokenData
from workflow_scripts.slpd.trainer import Trainer

PRECISIONS = ("float32", "bfloat16")
_RUN = {
    "model": {"dim": 24, "depth": 2, "heads": 2, "mlp_ratio": 2.0, "drop_path": 0.3},
    "head": {"hidden": 48, "bottleneck": 16, "out_dim": 64},
    "optimiser": {"batch_size": 4, "lr": 0.005, "lr_warmup_epochs": 1, "freeze_last_layer_epochs": 1},
}


def run_settings(precision: str = "float32") -> PretrainRun:
    """The run of both engines."""
    return plain.tiny_run(**_RUN, precision=precision)


def rounded_state(settings: PretrainRun) -> TrainState:
    """The start of both engines, float64, with values that float32 holds."""
    state = cohort.double_state(settings)
    for network in (state.student, state.teacher):
        for parameter in network.parameters():
            parameter.data = parameter.data.float().double()
    return state


def wanted_losses(padded: bool, epochs: int) -> Tensor:
    """LOSSES of every step by the plain engine, float64 `[steps, losses]`."""
    settings = run_settings()
    arrays, prototypes = cohort.arrays(padded), cohort.prototypes(settings)
    slow = PlainTraining(settings, rounded_state(settings), arrays, prototypes, cohort.neighbours())
    lines = slow.run(epochs, settings.warmup_epochs - 1)
    return torch.tensor([line[: len(LOSSES)] for line in lines], dtype=torch.float64)


def found_losses(
    settings: PretrainRun, device: torch.device, padded: bool, epochs: int, arguments: dict[str, str] | None = None
) -> Tensor:
    """The same by the engine on the device, whose trainer is given further arguments."""
    arrays, state = cohort.arrays(padded), new_state(settings, cohort.DIM, device)
    start = rounded_state(settings)
    with torch.no_grad():
        for ours, theirs in ((state.student, start.student), (state.teacher, start.teacher)):
            for parameter, value in zip(ours.parameters(), theirs.parameters(), strict=True):
                parameter.copy_(value)
    shape = (len(arrays.valid), arrays.grid, arrays.grid)
    data = TokenData.from_arrays(arrays.tokens.reshape(*shape, -1).numpy(), arrays.valid.reshape(shape).numpy(), device)
    forget_compiled(arguments or {})
    trainer = Trainer(settings, data, **(arguments or {}))
    targets = PrototypeTargets(cohort.prototypes(settings), cohort.neighbours(), cohort.SLIDE_INDEX, device)
    warm, per_epoch = settings.warmup_epochs, len(data) // trainer.batch
    steps = list(islice(trainer.steps(state, FAR, None), warm * per_epoch))
    steps += islice(trainer.steps(state, FAR, targets), (epochs - warm) * per_epoch)
    rows = trainer.rows(steps)
    return torch.tensor([column(rows, name) for name in LOSSES], dtype=torch.float64).T


def apart(found: Tensor, wanted: Tensor) -> float:
    """Largest relative difference; infinite where a loss is no finite number."""
    if not torch.isfinite(found).all():
        return float("inf")
    return float(((found - wanted).abs() / wanted.abs().clamp(min=1e-3)).max())


def measure(options: Options) -> Iterator[Measured]:
    """Differences by way and arithmetic; `float32` and `bfloat16` are the largest of each so far."""
    device, epochs = torch_device(options.device), 2 if options.small else 3
    wanted = {padded: wanted_losses(padded, epochs) for padded in ((True,) if options.small else (True, False))}
    largest = dict.fromkeys(PRECISIONS, 0.0)
    for name, way in ways(options).items():
        # padded regions take masks besides, so they alone are enough where the engine takes long to start
        cases = [True] if options.small or name == "compiled" else list(wanted)
        for precision in PRECISIONS:
            settings, found = run_settings(precision), []
            with told_lines() as told:
                for padded in cases:
                    losses = found_losses(settings, device, padded, epochs, way.arguments)
                    found.append(apart(losses, wanted[padded]))
            if reason := not_so(way, told):
                yield {}, [f"{name}, {precision}: not measured ({reason})"]
                continue
            largest[precision] = max(largest[precision], *found)
            yield {f"{precision}_{name}": max(found), precision: largest[precision]}, []
