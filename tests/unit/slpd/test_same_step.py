"""Which differences from the step as written are rounding, and which are another step."""

import pytest
import torch

from tests.benchmarks.step import made_training
from workflow_scripts.config import PretrainRun
from workflow_scripts.slpd.gradients import Gradients
from workflow_scripts.slpd.same_step import Result, expected, own_share, require_same, whole_step

from . import cohort

SIZES = {"model": {"dim": 48, "depth": 2, "heads": 2}, "head": {"hidden": 48, "bottleneck": 16, "out_dim": 64}}


def steps_of(precision):
    """Gradients at a small network over full regions, as written, and the inputs of a step."""
    more = {"optimiser": {"batch_size": 8, "freeze_last_layer_epochs": 0}, "precision": precision}
    settings = PretrainRun.model_validate(SIZES | more)
    trainer, state, targets = made_training(settings, 64, cohort.CPU)
    inputs = next(trainer.draws.steps(0, 1, targets))
    return Gradients(settings, state, trainer.data, targets, trainer.workers, 8, 8), inputs


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def step(request):
    plain, inputs = steps_of(request.param)
    return plain, inputs, expected(plain, inputs, own_share)


def changed(result, name, factor):
    return Result(result.losses, result.tensors | {name: result.tensors[name] * factor})


def test_each_small_tensor_counts(step):
    """Of all gradients together a tenth may be wrong where one tensor is wrong altogether."""
    _, _, wanted = step
    bias = "backbone.norm.bias"
    length = torch.cat([value.flatten() for value in wanted.result.tensors.values()]).norm()
    assert wanted.result.tensors[bias].norm() < 0.01 * length
    require_same(wanted, wanted.result)
    for factor in (0.0, 1.3, -1.0, float("nan")):
        with pytest.raises(ValueError, match=f"it gives another {bias}: "):
            require_same(wanted, changed(wanted.result, bias, factor))


def test_sums_and_losses_count_too(step):
    _, _, wanted = step
    with pytest.raises(ValueError, match="another sum of targets"):
        require_same(wanted, changed(wanted.result, "sum of targets", 1.1))
    with pytest.raises(ValueError, match="it gives other losses"):
        require_same(wanted, Result(wanted.result.losses * 1.03, wanted.result.tensors))


@pytest.mark.parametrize("compute", [own_share, whole_step])
def test_another_order_of_sums_is_the_same_step(step, compute):
    """In parts of other sizes each sum is rounded otherwise."""
    plain, inputs, _ = step
    wanted = expected(plain, inputs, compute)
    other = Gradients(plain.settings, plain.state, plain.data, plain.targets, plain.workers, 8, 3)
    found = compute(other, inputs)
    assert any(not torch.equal(value, wanted.result.tensors[name]) for name, value in found.tensors.items())
    require_same(wanted, found)


def test_in_bfloat16_the_exact_step_is_the_same_step():
    plain, inputs = steps_of("bfloat16")
    wanted = expected(plain, inputs, own_share)
    require_same(wanted, own_share(plain.in_float32(), inputs))
    worst = max(wanted.bounds[name] / value.norm().item() for name, value in wanted.result.tensors.items())
    assert worst > 0.1  # gradients that nearly cancel: one bound for all would be that of the worst
