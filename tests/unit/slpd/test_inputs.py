"""Inputs of steps: drawn in another thread they are the same, what fails there is raised here, and the thread ends."""

import threading
from collections.abc import Iterator

import pytest
import torch

from workflow_scripts.slpd.inputs import Ahead, Draws, StepInputs
from workflow_scripts.slpd.state import new_state, state_tensors
from workflow_scripts.slpd.tokens import TokenData
from workflow_scripts.slpd.trainer import Trainer

from . import cohort, plain

SETTINGS = plain.tiny_run(model={"drop_path": 0.3}, optimiser={"lr": 1.0})


def draws(padded: bool = True) -> Draws:
    return Draws(SETTINGS, cohort.tokens(padded=padded), 4)


def tensors(inputs: StepInputs) -> list[torch.Tensor]:
    assert inputs.keep is not None and inputs.rows is not None
    return [inputs.batch, *inputs.windows, inputs.keep, *inputs.rows]


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "inputs"]


def test_inputs_drawn_ahead_are_those_drawn_when_needed():
    targets = cohort.targets(SETTINGS)
    here = list(draws().steps(1, 7, targets))
    with Ahead(draws().steps(1, 7, targets)) as drawn:
        there = list(drawn)
        assert list(drawn) == []  # asked again, it has still ended
    assert not threads()
    assert len(here) == len(there) == 6
    for one, other in zip(here, there, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(tensors(one), tensors(other), strict=True))
    assert not torch.equal(here[0].batch, here[2].batch)


def test_inputs_of_a_step_depend_on_the_step_alone():
    whole = list(draws().steps(0, 6, None))
    late = list(draws().steps(3, 6, None))  # from within an epoch
    assert all(torch.equal(a.batch, b.batch) for a, b in zip(whole[3:], late, strict=True))
    assert all(torch.equal(a.windows[1], b.windows[1]) for a, b in zip(whole[3:], late, strict=True))


def test_crops_hold_tissue_where_that_is_asked_for_and_are_the_same_bits_where_not():
    """Two of four rows of every region are glass: crops of 2 tokens then lie in the other two."""
    data, held = cohort.tokens(), torch.zeros(cohort.REGIONS, 4, 4)
    held[:, 2:] = 1
    known = TokenData(data.source, data.valid, 4, cohort.CPU, held.flatten(1))
    asked = plain.tiny_run(crops={"min_tissue": 1.0})
    for one, other in zip(Draws(SETTINGS, data, 4).steps(0, 4, None), Draws(SETTINGS, known, 4).steps(0, 4, None),
                          strict=True):  # fmt: skip
        assert all(torch.equal(a, b) for a, b in zip(tensors_of(one), tensors_of(other), strict=True))
    for inputs in Draws(asked, known, 4).steps(0, 4, None):
        assert (inputs.windows[1] >= 8).all()  # of the rows of tissue alone
        assert ((inputs.windows[0] // 4).flatten(2).amin(dim=2) == 1).all()  # the fullest that there are, of 3 rows
    with pytest.raises(ValueError, match="tissue fraction"):
        Draws(asked, data, 4)


def tensors_of(inputs: StepInputs) -> list[torch.Tensor]:
    assert inputs.keep is not None
    return [inputs.batch, *inputs.windows, inputs.keep]


def numbers(until: int) -> Iterator[int]:
    yield from range(until)
    raise ValueError("no more")


def test_what_fails_in_the_thread_is_raised_in_its_turn():
    seen = []
    with pytest.raises(ValueError, match="no more"), Ahead(numbers(3)) as items:
        for item in items:
            seen.append(item)
    assert seen == [0, 1, 2]
    assert not threads()


@pytest.mark.parametrize("taken", [0, 1, 5])
def test_the_thread_ends_where_items_are_left(taken):
    with Ahead(numbers(1000)) as items:
        assert [next(items) for _ in range(taken)] == list(range(taken))
    assert not threads()


def test_the_thread_ends_with_an_exception_and_with_a_closed_generator():
    def one_after_another() -> Iterator[int]:
        with Ahead(numbers(1000)) as items:
            yield from items

    made = one_after_another()
    assert next(made) == 0
    assert threads()
    made.close()
    assert not threads()
    with pytest.raises(KeyError), Ahead(numbers(1000)):
        raise KeyError
    assert not threads()


class ReadAhead(Trainer):
    """A trainer that draws as it does for a GPU."""

    def _inputs(self, first, last, targets):
        return Ahead(self.draws.steps(first, last, targets))


def test_training_with_inputs_drawn_ahead_is_the_same_also_from_within_an_epoch():
    data, targets, states, rows = cohort.tokens(padded=True), cohort.targets(SETTINGS), [], []
    for kind, breaks in ((Trainer, (6,)), (ReadAhead, (6,)), (ReadAhead, (1, 3, 2))):
        state, trainer, lines = new_state(SETTINGS, cohort.DIM, cohort.CPU), kind(SETTINGS, data), []
        for count in breaks:
            lines += cohort.run_steps(trainer, state, count, 3, targets)
            assert not threads()
        states.append(state_tensors(state))
        rows.append(lines)
    assert rows[0] == rows[1] == rows[2]
    assert len(rows[0]) == 6
    for other in states[1:]:
        assert all(torch.equal(value, other[name]) for name, value in states[0].items())
