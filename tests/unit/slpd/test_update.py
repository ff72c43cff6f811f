"""A step that ends on its way has changed nothing and can be taken again."""

import pytest
import torch

from workflow_scripts.slpd.gradients import StepLosses
from workflow_scripts.slpd.state import new_state, state_tensors
from workflow_scripts.slpd.trainer import Trainer
from workflow_scripts.slpd.update import clip, norms_of

from . import cohort, plain

CENTERS = ("joint", "shared", "separate")


@pytest.mark.parametrize("method", ["add", "finish"])
@pytest.mark.parametrize("center", CENTERS)
def test_a_step_that_ends_on_its_way_is_taken_again_as_if_nothing_had_been(center, method, monkeypatch):
    settings = plain.tiny_run(loss={"proto_center": center}, optimiser={"lr": 1.0})
    data, targets = cohort.tokens(padded=True), cohort.targets(settings)
    undisturbed, state = (new_state(settings, cohort.DIM, cohort.CPU) for _ in range(2))
    want = cohort.run_epochs(Trainer(settings, data, micro_batch=2), undisturbed, 3, targets)
    trainer, original, calls, steps = Trainer(settings, data, micro_batch=2), getattr(StepLosses, method), [], []

    def fails_at_times(self, *args):
        calls.append(state.step)
        if len(calls) % 3 == 0:
            raise MemoryError
        return original(self, *args)

    monkeypatch.setattr(StepLosses, method, fails_at_times)
    failures = 0
    while state.epoch < 3:
        try:
            for step in trainer.steps(state, 3, targets):
                steps.append(step)
                before = {name: value.clone() for name, value in state_tensors(state).items()}
        except MemoryError:
            failures += 1
            assert all(torch.equal(value, before[name]) for name, value in state_tensors(state).items())
    assert failures >= 2
    assert trainer.rows(steps) == want
    tensors = state_tensors(state)
    assert all(torch.equal(value, tensors[name]) for name, value in state_tensors(undisturbed).items())


def test_each_gradient_is_clipped_on_its_own():
    gradients = [torch.tensor([3.0, 4.0]), torch.tensor([[0.3], [0.4]]), torch.zeros(2)]
    clip(gradients, norms_of(gradients), 1.0)
    assert gradients[0].tolist() == pytest.approx([0.6, 0.8], rel=1e-5)
    assert gradients[1].flatten().tolist() == pytest.approx([0.3, 0.4], rel=1e-6)
    assert gradients[2].tolist() == [0, 0]
