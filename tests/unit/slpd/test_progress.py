import pytest
import torch

from workflow_scripts.core.tables import read_table
from workflow_scripts.slpd import progress
from workflow_scripts.slpd.progress import ScratchState, fingerprint, save_training, train
from workflow_scripts.slpd.state import load_state, new_state, state_tensors
from workflow_scripts.slpd.trainer import COLUMNS, Trainer

from . import cohort, plain

SETTINGS = plain.tiny_run(model={"drop_path": 0.3}, optimiser={"lr": 1.0})


class Killed(Exception):
    pass


class DiesAfterSaving(ScratchState):
    """A job that dies right after its second save."""

    saves = 0

    def save(self, state, rows):
        super().save(state, rows)
        self.saves += 1
        if self.saves == 2:
            raise Killed


def test_interrupted_training_goes_on_as_if_uninterrupted(tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "_SAVE_EVERY_S", 0.0)
    trainer, targets = Trainer(SETTINGS, cohort.tokens()), cohort.targets(SETTINGS)
    whole = new_state(SETTINGS, cohort.DIM, cohort.CPU)
    want = train(trainer, whole, 5, targets, ScratchState(str(tmp_path / "other"), "x"), [])

    dying = DiesAfterSaving(str(tmp_path / "scratch"), "abc")
    with pytest.raises(Killed):
        train(trainer, new_state(SETTINGS, cohort.DIM, cohort.CPU), 5, targets, dying, [])
    scratch = ScratchState(str(tmp_path / "scratch"), "abc")
    state, rows = scratch.load(SETTINGS, cohort.DIM, cohort.CPU)
    assert state.epoch == 2
    assert len(rows) == 4
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


def test_fingerprint_changes_with_code_settings_and_content(tmp_path):
    file, twin = tmp_path / "a", tmp_path / "b"
    file.write_text("1")
    twin.write_text("1")
    base = fingerprint("code", SETTINGS, [str(file)])
    assert base == fingerprint("code", SETTINGS, [str(twin)])  # the content counts, not the name
    assert base != fingerprint("code2", SETTINGS, [str(file)])
    assert base != fingerprint("code", plain.tiny_run(), [str(file)])
    file.write_text("2")
    assert base != fingerprint("code", SETTINGS, [str(file)])


def test_outputs_of_a_training_job(tmp_path):
    state = new_state(SETTINGS, cohort.DIM, cohort.CPU)
    rows = Trainer(SETTINGS, cohort.tokens()).run_epochs(state, 2, None)
    save_training(state, rows, str(tmp_path / "s.safetensors"), str(tmp_path / "m.parquet"))
    table = read_table(tmp_path / "m.parquet")
    for name in table.column_names:
        assert table[name].to_pylist() == [row[COLUMNS.index(name)] for row in rows], name
    assert table["step"].to_pylist() == [0, 1, 2, 3]
    back, extra = load_state(tmp_path / "s.safetensors", SETTINGS, cohort.DIM, cohort.CPU)
    assert back.epoch == 2
    assert extra == {}
