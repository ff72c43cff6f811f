"""How a run's steps are computed: as written, through torch.compile, or recorded as a CUDA graph.

As written is the reference. The other two give the same to rounding, and where one fails training goes on without it.
"""

import time
from collections.abc import Callable
from typing import Literal, TypeVar

import torch

from workflow_scripts.core.entry import log
from workflow_scripts.slpd.captured import Captured
from workflow_scripts.slpd.gradients import Gradients
from workflow_scripts.slpd.inputs import StepInputs
from workflow_scripts.slpd.mishaps import free_cached
from workflow_scripts.slpd.parallel import Workers
from workflow_scripts.slpd.same_step import expected, own_share, require_same, whole_step

T = TypeVar("T")
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


def _tried(what: str, workers: Workers, device: torch.device, attempt: Callable[[], T]) -> T | None:
    """What an attempt gives; None where it failed in any process, which is told and no reason to end a run."""
    began, found, reason = time.monotonic(), None, ""
    try:
        found = attempt()
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    failed = torch.tensor([float(bool(reason))], device=device)
    workers.sum([failed])  # all decide alike
    if failed.item():
        log.warning(
            "%s did not work here, so training goes on without: %s", what, reason or "it failed in another process"
        )
        return None
    log.info("%s took %.1f s", what, time.monotonic() - began)
    return found


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
    plain = make(None, record)
    if backend is None and not record:
        return plain
    workers, device = plain.workers, plain.data.device
    # of one process alone, so that none waits in an exchange for another whose try has failed
    share = expected(plain, steps[-1], own_share) if backend is not None else None

    def compile(recorded: bool) -> Gradients:
        compiled = make(backend, recorded)
        if share is not None:
            require_same(share, own_share(compiled, steps[-1]))
        return compiled

    def capture(found: Gradients) -> Captured:
        wanted = expected(plain, steps[-1], whole_step)
        free_cached()
        captured = Captured(found, steps[0])
        require_same(wanted, whole_step(captured, steps[-1]))
        return captured

    compiled = share and _tried("compiling the training step", workers, device, lambda: compile(record))
    found = compiled or plain
    captured = None
    if record:
        what = "recording the training step as a CUDA graph"
        captured = _tried(what, workers, device, lambda: capture(found))
    if record and captured is None and compiled and compiled.parts() != make(None, False).parts():
        # parts of another size are other code
        compiled = _tried("compiling the training step for whole parts", workers, device, lambda: compile(False))
    plain.state.student.zero_grad(set_to_none=True)
    free_cached()
    return captured or compiled or (make(None, False) if record else plain)
