import logging
import math
import signal

import pytest
import torch

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.tables import read_table
from workflow_scripts.slpd import progress
from workflow_scripts.slpd.progress import ScratchState, check_rows, duration, save_training, train
from workflow_scripts.slpd.state import load_state, new_state, state_tensors
from workflow_scripts.slpd.trainer import COLUMNS, Trainer

from . import cohort, plain

SETTINGS = plain.tiny_run(model={"drop_path": 0.3}, optimiser={"lr": 1.0})


class Killed(Exception):
    pass


class DiesAfterSaving(ScratchState):
    """A job that dies right after a save, in the middle of an epoch."""

    saves = 0

    def save(self, state, rows):
        super().save(state, rows)
        self.saves += 1
        if self.saves == 5:
            raise Killed


def test_interrupted_training_goes_on_as_if_uninterrupted(tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "_SAVE_EVERY_S", 0.0)
    monkeypatch.setattr(progress, "_SAVE_SHARE", float("inf"))
    trainer, targets = Trainer(SETTINGS, cohort.tokens()), cohort.targets(SETTINGS)
    whole = new_state(SETTINGS, cohort.DIM, cohort.CPU)
    want = train(trainer, whole, 5, targets, ScratchState(str(tmp_path / "other"), "x"), [])

    dying = DiesAfterSaving(str(tmp_path / "scratch"), "abc")
    with pytest.raises(Killed):
        train(trainer, new_state(SETTINGS, cohort.DIM, cohort.CPU), 5, targets, dying, [])
    scratch = ScratchState(str(tmp_path / "scratch"), "abc")
    state, rows = scratch.load(SETTINGS, cohort.DIM, cohort.CPU)
    assert (state.epoch, state.step) == (2, 5)  # two steps an epoch
    assert len(rows) == 5
    got = train(trainer, state, 5, targets, scratch, rows)
    assert [row[:-1] for row in got] == [row[:-1] for row in want]  # all but regions_per_s
    one, other = state_tensors(whole), state_tensors(state)
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


def test_scratch_of_another_fingerprint_is_not_taken(tmp_path):
    state = new_state(SETTINGS, cohort.DIM, cohort.CPU)
    scratch = ScratchState(str(tmp_path / "s"), "abc")
    scratch.save(state, [[1.0, 2.0]])
    assert ScratchState(str(tmp_path / "s"), "abd").load(SETTINGS, cohort.DIM, cohort.CPU) is None
    scratch.clear()
    assert scratch.load(SETTINGS, cohort.DIM, cohort.CPU) is None
    scratch.clear()  # clearing twice is no error


def test_outputs_of_a_training_job(tmp_path):
    state = new_state(SETTINGS, cohort.DIM, cohort.CPU)
    rows = cohort.run_epochs(Trainer(SETTINGS, cohort.tokens()), state, 2, None)
    save_training(state, rows, str(tmp_path / "s.safetensors"), str(tmp_path / "m.parquet"))
    table = read_table(tmp_path / "m.parquet")
    for name in table.column_names:
        assert table[name].to_pylist() == [row[COLUMNS.index(name)] for row in rows], name
    assert table["step"].to_pylist() == [0, 1, 2, 3]
    back, extra = load_state(tmp_path / "s.safetensors", SETTINGS, cohort.DIM, cohort.CPU)
    assert back.epoch == 2
    assert extra == {}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_ends_training_after_its_step_with_the_state_saved(tmp_path, number):
    trainer = Trainer(SETTINGS, cohort.tokens())
    whole, state = (new_state(SETTINGS, cohort.DIM, cohort.CPU) for _ in range(2))
    cohort.run_epochs(trainer, whole, 4, None)
    scratch, handler = ScratchState(str(tmp_path / "s"), "x"), signal.getsignal(number)
    original = trainer._step

    def step(*args):
        if state.step == 3:
            signal.raise_signal(number)
        return original(*args)

    trainer._step = step
    with pytest.raises(SystemExit) as ended:
        train(trainer, state, 4, None, scratch, [])
    assert ended.value.code == 128 + number
    assert signal.getsignal(number) is handler
    trainer._step = original
    state, rows = scratch.load(SETTINGS, cohort.DIM, cohort.CPU)
    assert (state.step, len(rows)) == (4, 4)  # the step at hand was finished
    train(trainer, state, 4, None, scratch, rows)
    tensors = state_tensors(state)
    assert all(torch.equal(value, tensors[name]) for name, value in state_tensors(whole).items())


def test_non_finite_loss_is_told(tmp_path):
    data = cohort.tokens()
    data.source.tokens[:] = float("inf")
    scratch = ScratchState(str(tmp_path / "s"), "x")
    with pytest.raises(UserError, match=r"non-finite in epoch 0.*lower pretrain\.defaults\.optimiser\.lr"):
        train(Trainer(SETTINGS, data), new_state(SETTINGS, cohort.DIM, cohort.CPU), 1, None, scratch, [])
    assert not scratch.path.exists()


def line(**values: float) -> list[float]:
    return [values.get(name, 1.0) for name in COLUMNS]


def test_collapsed_targets_are_told_with_the_last_good_state_once_the_learning_rate_has_risen():
    settings, c = plain.tiny_run(head={"out_dim": 4096}), 4096
    healthy = {"teacher_entropy": 0.5 * math.log(c), "marginal_entropy": 0.9 * math.log(c)}
    check_rows([line(epoch=5, **healthy)] * 3, settings, "")
    one_unit = line(epoch=5, teacher_entropy=0.0, marginal_entropy=0.0)
    check_rows([line(**{**dict(zip(COLUMNS, one_unit, strict=True)), "epoch": 0})], settings, "")
    with pytest.raises(UserError, match=r"epoch 5.*same one output unit.*kept in the/file"):
        check_rows([one_unit], settings, "the/file")
    with pytest.raises(UserError, match="uniform"):
        check_rows([line(epoch=5, teacher_entropy=math.log(c), marginal_entropy=math.log(c))], settings, "")


def test_durations():
    assert [duration(s) for s in (0, 89.6, 90, 600, 5399, 5400, 36000)] == [
        "0 s", "90 s", "2 min", "10 min", "90 min", "1.5 h", "10.0 h",
    ]  # fmt: skip


def test_the_first_step_is_timed_with_what_came_before_and_tells_no_rate(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(progress, "_TELL_EVERY_S", -1.0)  # every step
    caplog.set_level(logging.INFO, "workflow_scripts")
    trainer, state = Trainer(SETTINGS, cohort.tokens()), new_state(SETTINGS, cohort.DIM, cohort.CPU)
    train(trainer, state, 2, None, ScratchState(str(tmp_path / "s"), "x"), [])
    lines = [record.getMessage() for record in caplog.records]
    told = [line for line in lines if line.startswith("epoch ")]
    assert len(told) == 4
    assert [" regions/s, " in line and line.endswith(" left") for line in told] == [False, True, True, True]
    assert f"1 process(es) of {torch.get_num_threads()} thread(s)" in lines[0]
