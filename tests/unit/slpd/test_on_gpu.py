"""Training on a GPU: as written, compiled, recorded as a CUDA graph; against the slow engine and against the CPU."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from workflow_scripts.config import PretrainRun
from workflow_scripts.slpd.captured import Captured
from workflow_scripts.slpd.engine import choose_engine
from workflow_scripts.slpd.gradients import Gradients
from workflow_scripts.slpd.parallel import Workers
from workflow_scripts.slpd.state import TrainState, load_state, new_state, save_state, state_tensors
from workflow_scripts.slpd.step_losses import soften
from workflow_scripts.slpd.targets import PrototypeTargets
from workflow_scripts.slpd.tokens import TokenData
from workflow_scripts.slpd.trainer import COLUMNS, Trainer

from . import cohort, plain
from .both_engines import LOSSES, column, prototypes_of
from .plain_engine import PlainTraining

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

ROOT = Path(__file__).resolve().parents[3]
GPU = torch.device("cuda", 0)
WAYS = ("written", "compiled", "recorded", "compiled and recorded")
LOSS_COLUMNS = slice(COLUMNS.index("loss"), COLUMNS.index("loss_inter") + 1)


def run_of(proto_center: str = "joint", **over: Any) -> PretrainRun:
    """A tiny run at temperatures at which no loss is a small difference of large numbers."""
    loss = {"proto_center": proto_center, "teacher_temp": 0.3, "student_temp": 0.5}
    return plain.tiny_run(loss=loss, **over)


class Certain(Trainer):
    """A trainer that computes its steps in one way, however few they are, and not in another if that fails."""

    way = "written"

    def _engine(self, state, targets, steps):
        inputs = list(self.draws.steps(state.step, state.step + 2, targets))
        inputs = [drawn.on(self.data.device) for drawn in inputs]
        run = (self.settings, state, self.data, targets, self.workers, self.batch, self.part)
        backend, record = "inductor" if "compiled" in self.way else None, "recorded" in self.way
        found = choose_engine(lambda backend, recorded: Gradients(*run, backend), inputs, backend, record)
        assert isinstance(found, Captured) == record
        gradients = found._gradients if isinstance(found, Captured) else found
        assert (gradients._soften is soften) == (backend is None)
        return found


def trainer_of(
    way: str, settings: PretrainRun, padded: bool = False, device: torch.device = GPU, workers: Workers | None = None
) -> Certain:
    arrays = cohort.arrays(padded)
    shape = (len(arrays.valid), arrays.grid, arrays.grid)
    tokens, valid = arrays.tokens.reshape(*shape, -1).numpy(), arrays.valid.reshape(shape).numpy()
    trainer = Certain(settings, TokenData.from_arrays(tokens, valid, device), workers)
    trainer.way = way
    return trainer


def targets_on(settings: PretrainRun, device: torch.device) -> PrototypeTargets:
    return PrototypeTargets(cohort.prototypes(settings), cohort.neighbours(), cohort.SLIDE_INDEX, device)


def training(
    way: str, settings: PretrainRun, padded: bool = False, device: torch.device = GPU
) -> tuple[TrainState, list[list[float]]]:
    """An epoch of warm-up, with the last layer frozen, and two with prototypes."""
    state, trainer = new_state(settings, cohort.DIM, device), trainer_of(way, settings, padded, device)
    rows = cohort.run_epochs(trainer, state, 1, None)
    return state, rows + cohort.run_epochs(trainer, state, 3, targets_on(settings, device))


def losses(rows: list[list[float]]) -> np.ndarray:
    return np.array(rows)[:, LOSS_COLUMNS]


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("center", ["joint", "shared", "separate"])
def test_float32_gives_the_losses_of_the_slow_engine(way, center, padded):
    settings = run_of(proto_center=center)
    start = new_state(settings, cohort.DIM, cohort.CPU)
    for network in (start.student, start.teacher):
        network.double()
    start.center, start.proto_center = start.center.double(), start.proto_center.double()
    slow = PlainTraining(settings, start, cohort.arrays(padded), prototypes_of(settings), cohort.neighbours())
    want = slow.run(3, warm_epoch=0)
    _, rows = training(way, settings, padded)
    for place, name in enumerate(LOSSES):
        np.testing.assert_allclose(column(rows, name), [line[place] for line in want], rtol=1e-5, err_msg=name)


@pytest.mark.parametrize("way", WAYS)
def test_float32_gives_the_training_of_the_cpu(way):
    settings = run_of(model={"drop_path": 0.3})
    (state, rows), (want, expected) = training(way, settings, True), training("written", settings, True, cohort.CPU)
    np.testing.assert_allclose(losses(rows), losses(expected), rtol=1e-5)
    tensors = state_tensors(state)
    for name, value in state_tensors(want).items():
        torch.testing.assert_close(tensors[name], value, rtol=1e-3, atol=1e-4, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("way", WAYS)
def test_bfloat16_stays_within_a_hundredth_of_float32(way):
    found = [training(way, run_of(precision=precision))[1] for precision in ("float32", "bfloat16")]
    np.testing.assert_allclose(losses(found[1])[:, 0], losses(found[0])[:, 0], rtol=1e-2)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("first", [cohort.CPU, GPU], ids=["CPU first", "GPU first"])
def test_a_state_moves_between_cpu_and_gpu(first, way, tmp_path):
    settings = run_of(model={"drop_path": 0.3})
    second = GPU if first == cohort.CPU else cohort.CPU
    ways = {cohort.CPU: "written", GPU: way}
    _, want = training("written", settings, device=cohort.CPU)
    state = new_state(settings, cohort.DIM, first)
    rows = cohort.run_epochs(trainer_of(ways[first], settings, device=first), state, 1, None)
    save_state(tmp_path / "state.safetensors", state)
    state, _ = load_state(tmp_path / "state.safetensors", settings, cohort.DIM, second)
    assert {value.device for value in state.student.parameters()} == {second}
    rows += cohort.run_epochs(trainer_of(ways[second], settings, device=second), state, 3, targets_on(settings, second))
    np.testing.assert_allclose(losses(rows), losses(want), rtol=1e-5)


@pytest.mark.parametrize("way", WAYS)
def test_resumed_from_within_an_epoch_equals_uninterrupted(way, tmp_path):
    settings = run_of(model={"drop_path": 0.3})
    targets, want = targets_on(settings, GPU), new_state(settings, cohort.DIM, GPU)
    whole = cohort.run_epochs(trainer_of(way, settings), want, 3, targets)
    state = new_state(settings, cohort.DIM, GPU)
    rows = cohort.run_steps(trainer_of(way, settings), state, 3, 3, targets)
    save_state(tmp_path / "state.safetensors", state)
    state, _ = load_state(tmp_path / "state.safetensors", settings, cohort.DIM, GPU)
    rows += cohort.run_epochs(trainer_of(way, settings), state, 3, targets)
    np.testing.assert_allclose(losses(rows), losses(whole), rtol=1e-5)


def test_the_host_waits_for_nothing_within_a_step():
    settings = run_of(model={"drop_path": 0.3}, precision="bfloat16")
    trainer, state = trainer_of("written", settings, padded=True), new_state(settings, cohort.DIM, GPU)
    steps = trainer.steps(state, 4, targets_on(settings, GPU))
    next(steps)  # what is made at first use may wait
    torch.cuda.set_sync_debug_mode("error")
    try:
        assert len(list(steps)) == 7
    finally:
        torch.cuda.set_sync_debug_mode("default")
        steps.close()


DETERMINISTIC = """
import sys
import torch
from workflow_scripts.slpd.determinism import make_deterministic
make_deterministic(True)
from tests.unit.slpd import cohort, test_on_gpu as here
from workflow_scripts.slpd.state import load_state, new_state, save_state, state_tensors
from workflow_scripts.slpd.trainer import Trainer

for precision in ("float32", "bfloat16"):
    settings = here.run_of(model={"drop_path": 0.3}, precision=precision)
    targets, data = here.targets_on(settings, here.GPU), here.trainer_of("written", settings, padded=True).data
    whole, state = (new_state(settings, cohort.DIM, here.GPU) for _ in range(2))
    rows = cohort.run_epochs(Trainer(settings, data), whole, 3, targets)
    parts = cohort.run_steps(Trainer(settings, data), state, 3, 3, targets)
    save_state(sys.argv[1], state)
    state, _ = load_state(sys.argv[1], settings, cohort.DIM, here.GPU)
    parts += cohort.run_epochs(Trainer(settings, data), state, 3, targets)
    assert [row[:-1] for row in rows] == [row[:-1] for row in parts], precision
    tensors = state_tensors(state)
    assert all(torch.equal(value, tensors[name]) for name, value in state_tensors(whole).items()), precision
"""

TWO = """
import json, sys
import torch
import torch.distributed as dist
from tests.unit.slpd import cohort, test_on_gpu as here
from workflow_scripts.slpd.parallel import Workers
from workflow_scripts.slpd.state import new_state

dist.init_process_group("gloo")  # NCCL wants a GPU for each process
workers = Workers(dist.get_rank(), dist.get_world_size())
settings = here.run_of(model={"drop_path": 0.3}, optimiser={"batch_size": 5})
rows = []
for way in ("written", "compiled"):
    state = new_state(settings, cohort.DIM, here.GPU)
    trainer = here.trainer_of(way, settings, True, workers=workers)
    rows.append(cohort.run_epochs(trainer, state, 3, here.targets_on(settings, here.GPU)))
if workers.rank == 0:
    open(sys.argv[1], "w").write(json.dumps(rows))
"""


def run_script(folder: Path, text: str, *launcher: str) -> Any:
    """Run a script of its own process, or of several; what it has written as JSON, if it has."""
    script, output = folder / "script.py", folder / "output"
    script.write_text(text)
    command = [sys.executable, *launcher, str(script), str(output)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    end = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert end.returncode == 0, end.stderr
    return output


def test_deterministic_training_that_is_resumed_has_the_same_bits(tmp_path):
    run_script(tmp_path, DETERMINISTIC)


def test_two_processes_on_one_gpu_give_the_training_of_one(tmp_path):
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    found = json.loads(run_script(tmp_path, TWO, *launcher).read_text())
    settings = run_of(model={"drop_path": 0.3}, optimiser={"batch_size": 5})
    state = new_state(settings, cohort.DIM, GPU)
    alone = cohort.run_epochs(trainer_of("written", settings, True), state, 3, targets_on(settings, GPU))
    for rows in found:
        np.testing.assert_allclose(losses(rows), losses(alone), rtol=1e-5)
