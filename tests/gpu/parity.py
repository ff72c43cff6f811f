"""The engine against the plain engine of the tests, which is float64, on the CPU, and one region after another.

Both start from the same weights, rounded to float32, and train three epochs: the first with L_self alone, then with all
three losses, with slides and regions that lack targets, and with padded regions. Told is the largest relative
difference of any loss of any step.
"""

from typing import Any

import torch

from tests.gpu.options import Options, torch_device
from tests.unit.slpd import cohort, plain
from tests.unit.slpd.both_engines import LOSSES, column
from tests.unit.slpd.plain_engine import PlainTraining
from workflow_scripts.config import PretrainRun
from workflow_scripts.slpd.state import TrainState, new_state
from workflow_scripts.slpd.targets import PrototypeTargets
from workflow_scripts.slpd.tokens import TokenData
from workflow_scripts.slpd.trainer import Trainer

EPOCHS = 3
PRECISIONS = ("float32", "bfloat16")
_OPTIMISER = {"batch_size": 4, "lr": 0.005, "lr_warmup_epochs": 1, "freeze_last_layer_epochs": 1}


def run_settings(precision: str, compiled: bool) -> PretrainRun:
    """The tests' tiny run with stochastic depth, compiled where the engine can."""
    more = {"compile": compiled} if "compile" in PretrainRun.model_fields else {}
    model = plain.TINY["model"] | {"drop_path": 0.3}
    return plain.tiny_run(precision=precision, optimiser=_OPTIMISER, model=model, **more)


def starting_states(settings: PretrainRun, device: torch.device) -> tuple[TrainState, TrainState]:
    """The plain engine's start in float64, and the same values in float32 on the device."""
    slow, fast = cohort.double_state(settings), new_state(settings, cohort.DIM, device)
    with torch.no_grad():
        for reference, network in ((slow.student, fast.student), (slow.teacher, fast.teacher)):
            for wanted, parameter in zip(reference.parameters(), network.parameters(), strict=True):
                parameter.copy_(wanted)
                wanted.copy_(parameter.double())
    return slow, fast


def apart(settings: PretrainRun, device: torch.device, padded: bool) -> float:
    """Largest relative difference of a loss that counts, over all steps."""
    arrays, prototypes, near = cohort.arrays(padded), cohort.prototypes(settings), cohort.neighbours()
    slow, state = starting_states(settings, device)
    plain_run = PlainTraining(settings, slow, arrays, prototypes, near)
    shape = (len(arrays.valid), arrays.grid, arrays.grid)
    data = TokenData.from_arrays(arrays.tokens.reshape(*shape, -1).numpy(), arrays.valid.reshape(shape).numpy(), device)
    trainer = Trainer(settings, data)
    rows = cohort.run_epochs(trainer, state, settings.warmup_epochs, None)
    targets = PrototypeTargets(prototypes, near, cohort.SLIDE_INDEX, device)
    rows += cohort.run_epochs(trainer, state, EPOCHS, targets)
    wanted = torch.tensor([line[: len(LOSSES)] for line in plain_run.run(EPOCHS, settings.warmup_epochs - 1)])
    found = torch.tensor([column(rows, name) for name in LOSSES]).T
    if not torch.isfinite(found).all():
        return float("inf")
    return float(((found - wanted).abs() / wanted.abs().clamp(min=1e-3)).max())


def measure(options: Options) -> tuple[dict[str, Any], list[str]]:
    """Differences by arithmetic, eager and compiled; `float32` and `bfloat16` are the largest of each."""
    can_compile = "compile" in PretrainRun.model_fields
    device = torch_device(options.device)
    ways = [False, True] if can_compile and not options.small else [False]
    figures: dict[str, Any] = {}
    for precision in PRECISIONS:
        for compiled in ways:
            settings = run_settings(precision, compiled)
            name = f"{precision}_{'compiled' if compiled else 'eager'}"
            figures[name] = max(apart(settings, device, padded) for padded in (False, True))
        figures[precision] = max(value for name, value in figures.items() if name.startswith(precision))
    notes = [] if len(ways) == 2 else [f"compiled: not run ({'small sizes' if can_compile else 'not offered'})"]
    return figures, notes
