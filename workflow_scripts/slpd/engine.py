"""How a run's steps are computed: as written, through torch.compile, or recorded as a CUDA graph.

As written is the reference. The other two give the same to rounding, and where one fails training goes on without it.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor

from workflow_scripts.core.entry import log
from workflow_scripts.slpd.captured import Captured
from workflow_scripts.slpd.gradients import Gradients
from workflow_scripts.slpd.inputs import StepInputs

Compile = Literal["auto", "true", "false"]
# By estimate, from a step of 512 regions on an H100: compiled blocks saved 20 us a region, and compiling takes 20 s.
_REGIONS_TO_COMPILE = 1_000_000
# Regions of a recorded step that are held at once. What parts cost a step as written is mostly the host's orders, which
# a recording saves; on an H100 parts of 256 took 9.8 GiB at the paper's setting where 512 at once took 17.2.
RECORDED_PART = 256
_STEPS_TO_RECORD = 30  # by estimate, recording takes about as long as three steps, and a second or two


def to_compile(wanted: Compile, device: torch.device, regions: int) -> bool:
    """Whether to compile for that many regions, over all steps to take; `auto` does where it is likely to pay.

    Nothing is compiled where bits must repeat: the code is chosen by timing it.
    """
    if torch.are_deterministic_algorithms_enabled():
        return False
    return wanted == "true" or (wanted == "auto" and device.type == "cuda" and regions >= _REGIONS_TO_COMPILE)


def to_record(wanted: Compile, device: torch.device, steps: int, processes: int) -> bool:
    """Whether to record a CUDA graph for that many steps; sums over several processes are not recorded.

    Nor is anything where bits must repeat: a resumed job may have too few steps left to record.
    """
    if torch.are_deterministic_algorithms_enabled():
        return False
    return wanted != "false" and device.type == "cuda" and steps >= _STEPS_TO_RECORD and processes == 1


@contextmanager
def _or_without(what: str) -> Iterator[None]:
    """Tell how long it took, or that it failed, which is no reason to end a run."""
    began = time.monotonic()
    try:
        yield
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        log.warning("%s did not work here, so training goes on without: %s", what, reason)
    else:
        log.info("%s took %.1f s", what, time.monotonic() - began)


def _result(engine: Gradients | Captured, inputs: StepInputs) -> tuple[Tensor, Tensor]:
    """MEASURES and all gradients of a step in one row."""
    measures = engine.compute(inputs).measures
    gradients = [p.grad.flatten() for p in engine.state.student.parameters() if p.grad is not None]
    return measures, torch.cat(gradients)


def _require_same(wanted: tuple[Tensor, Tensor], found: tuple[Tensor, Tensor]) -> None:
    """Refuse a way of computing steps that gives another result than steps as written; bfloat16 rounds them apart.

    Raises:
        ValueError: losses differ by more than a hundredth, or gradients by more than a tenth of their length.
    """
    apart = (found[1] - wanted[1]).norm() / wanted[1].norm()
    if not torch.allclose(found[0], wanted[0], rtol=0.01, atol=0.01) or not apart < 0.1:
        raise ValueError(f"it gives other losses, or gradients {apart:.2g} of their length apart")


def _free_memory() -> None:
    """Give back what torch keeps for the next step: a recording holds memory of its own."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def choose_engine(
    make: Callable[[str | None, bool], Gradients], steps: list[StepInputs], backend: str | None, record: bool
) -> Gradients | Captured:
    """What computes the steps of a run; each way is tried and compared on steps that change nothing.

    Args:
        make: gradients by the backend of torch.compile, None as written, and whether they are to be recorded.
        steps: inputs of one step or two, on the device: what is recorded with the first is compared on the last. Not
            looked at where nothing is to be tried.
        backend: of torch.compile; None where nothing is to be compiled.
        record: record a CUDA graph.
    """
    found: Gradients | Captured
    found = plain = make(None, record)
    if backend is None and not record:
        return plain
    alone = plain.workers.world == 1  # several would have to fail together
    wanted = _result(plain, steps[-1]) if alone else None
    works = None
    if backend is not None:
        with _or_without("compiling the training step"):
            compiled = make(backend, record)
            compiled.of_process(steps[-1], compiled.taken(steps[-1]))
            if wanted:
                _require_same(wanted, _result(compiled, steps[-1]))
            found, works = compiled, backend
    plain.state.student.zero_grad(set_to_none=True)
    if record and wanted:
        with _or_without("recording the training step as a CUDA graph"):
            _free_memory()
            captured = Captured(found, steps[0])
            _require_same(wanted, _result(captured, steps[-1]))
            found = captured
        plain.state.student.zero_grad(set_to_none=True)
    _free_memory()
    return make(works, False) if record and isinstance(found, Gradients) else found
