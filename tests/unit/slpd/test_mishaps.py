"""Memory that runs out and cards that fail: torch's own errors, raised at given calls of the student's first block.

A part of a step calls it twice, once for each size of crops. In float64, where rounding moves no parameter visibly.
"""

import logging

import pytest
import torch

from workflow_scripts.core.errors import UserError
from workflow_scripts.slpd import progress
from workflow_scripts.slpd.mishaps import told_mishaps
from workflow_scripts.slpd.parallel import Workers
from workflow_scripts.slpd.progress import ScratchState, train
from workflow_scripts.slpd.state import state_tensors
from workflow_scripts.slpd.trainer import Trainer

from . import cohort, plain

OUT = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
LOST = torch.AcceleratorError("CUDA error: unspecified launch failure\nCUDA kernel errors might be reported later.")
SETTINGS = plain.tiny_run(model={"drop_path": 0.3}, loss={"proto_center": "shared"})  # 8 steps of 4 regions in 4 epochs


def fail(module, error, calls):
    """Raise `error` at these calls of a module, counted from 1."""
    count = 0

    def hook(*_):
        nonlocal count
        count += 1
        if count in calls:
            raise error

    return module.register_forward_pre_hook(hook)


def run(scratch, part=4, error=None, calls=(), workers=None):
    trainer, state = Trainer(SETTINGS, cohort.tokens(), workers, part), cohort.double_state(SETTINGS)
    if error is not None:
        fail(state.student.backbone.blocks[0], error, calls)
    rows = train(trainer, state, 4, cohort.targets(SETTINGS), ScratchState(str(scratch), "x"), [])
    return trainer, state, torch.tensor(rows)[:, :-1]  # all but regions_per_s


@pytest.mark.parametrize(
    ("calls", "part"),
    [
        ([1], 2),  # the first step
        ([7], 2),  # a later one, with all centres on their way
        ([7, 8], 1),  # twice in one step
        ([7, 12], 1),  # the second time in a second part, when the first has left its gradients
    ],
)
def test_a_step_that_runs_out_of_memory_is_done_again_in_smaller_parts(tmp_path, caplog, calls, part):
    _, whole, want = run(tmp_path)
    trainer, state, rows = run(tmp_path, 4, OUT, calls)
    assert trainer.part == part
    torch.testing.assert_close(rows, want, rtol=1e-6, atol=1e-9)
    other = state_tensors(state)
    for name, value in state_tensors(whole).items():
        torch.testing.assert_close(other[name], value, rtol=1e-6, atol=1e-9, msg=name)
    told = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert len(told) == len(calls)
    assert f"step {(calls[0] - 1) // 2} is done again in parts of 2," in told[0]


def test_memory_for_one_region_that_runs_out_ends_in_a_sentence(tmp_path):
    with pytest.raises(UserError, match="too small for 1 region at once; end what else runs on it"):
        run(tmp_path, 4, OUT, range(1, 100))


def test_parts_are_halved_from_what_the_process_works_on(tmp_path):
    """With more regions at once than there are, the first half would be the same part again."""
    trainer, _, _ = run(tmp_path, 512, OUT, [1])
    assert trainer.part == 2


def test_memory_that_runs_out_where_parameters_move_ends_in_a_sentence(tmp_path):
    trainer, state = Trainer(SETTINGS, cohort.tokens(), None, 4), cohort.double_state(SETTINGS)
    state.optimiser.register_step_pre_hook(lambda *_: (_ for _ in ()).throw(OUT))
    with pytest.raises(UserError, match=r"too small for 4 regions at once; set pretrain\.micro_batch to 2 or less"):
        train(trainer, state, 4, None, ScratchState(str(tmp_path), "x"), [])


class Sums(Workers):
    """Two processes of which this one is the first: counts exchanges."""

    exchanges = 0

    def sum(self, tensors):
        Sums.exchanges += bool(tensors)


def test_a_process_out_of_memory_takes_part_in_each_exchange_once(tmp_path):
    trainer, _, _ = run(tmp_path, 2, OUT, [1], Sums(0, 2))
    assert (Sums.exchanges, trainer.part) == (8, 1)


def test_a_card_that_fails_is_told_with_the_state_to_go_on_from(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="no state was saved yet: the same command starts this job anew") as told:
        run(tmp_path / "fails", 4, LOST, [9])
    assert "the GPU cpu failed (CUDA error: unspecified launch failure);" in str(told.value)
    assert "\n" not in str(told.value)
    monkeypatch.setattr(progress, "_SAVE_EVERY_S", 0.0)
    monkeypatch.setattr(progress, "_SAVE_SHARE", float("inf"))
    with pytest.raises(UserError, match="the state after step 4 is saved: the same command goes on from there"):
        run(tmp_path / "fails", 4, LOST, [9])


@pytest.mark.parametrize(
    "error",
    [
        torch.AcceleratorError("CUDA error: device-side assert triggered"),
        torch.AcceleratorError("CUDA error: uncorrectable ECC error encountered"),
        RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx(...)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR"),
    ],
)
def test_errors_of_a_card(error):
    with pytest.raises(UserError, match="the GPU cpu failed"), told_mishaps(cohort.CPU, lambda: 4, lambda: 7):
        raise error


FULL = (
    torch.AcceleratorError("CUDA error: out of memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
)


@pytest.mark.parametrize("error", FULL)
def test_memory_that_driver_and_libraries_cannot_have_is_no_failed_card(error, tmp_path):
    with pytest.raises(UserError, match="memory is too small for 4"), told_mishaps(cohort.CPU, lambda: 4, lambda: 7):
        raise error
    assert run(tmp_path, 4, error, [1])[0].part == 2


def test_another_process_than_the_first_tells_of_smaller_parts_too(tmp_path, caplog, monkeypatch):
    """It tells errors alone (core.entry), and the first knows nothing of it."""
    monkeypatch.setenv("RANK", "1")
    run(tmp_path, 4, OUT, [1])
    assert [record.levelname for record in caplog.records if "is done again in parts of" in record.message] == ["ERROR"]


def test_other_errors_go_on_their_way():
    with pytest.raises(RuntimeError, match="shapes differ"), told_mishaps(cohort.CPU, lambda: 4, lambda: 7):
        raise RuntimeError("shapes differ")
