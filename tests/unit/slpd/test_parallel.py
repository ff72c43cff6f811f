"""One, two and four processes over gloo compute the same training; one that fails brings all down."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from workflow_scripts.slpd.parallel import Workers
from workflow_scripts.slpd.trainer import COLUMNS

ROOT = Path(__file__).resolve().parents[3]
CENTERS = ("joint", "shared")

SCRIPT = """
import json, os, sys
import torch
from tests.unit.slpd import cohort, plain
from workflow_scripts.slpd.engine import choose_engine
from workflow_scripts.slpd.gradients import Gradients
from workflow_scripts.slpd.parallel import join_workers
from workflow_scripts.slpd.state import new_state, state_tensors
from workflow_scripts.slpd.step_losses import soften
from workflow_scripts.slpd.trainer import Trainer

class Compiled(Trainer):
    def _engine(self, state, targets, steps):
        inputs = list(self.draws.steps(state.step, state.step + 2, targets))
        run = (self.settings, state, self.data, targets, self.workers, self.batch, self.part)
        found = choose_engine(lambda backend, recorded: Gradients(*run, backend), inputs, "aot_eager", record=False)
        assert found._soften is not soften, "steps are not compiled"
        return found


torch.set_num_threads(1)
workers = join_workers(60)
if sys.argv[2] == str(workers.rank):
    raise ValueError("this one fails")
found = {"world": workers.world}
for center in ("joint", "shared"):
    settings = plain.tiny_run(
        model={"drop_path": 0.3}, optimiser={"lr": 1.0, "batch_size": 5}, loss={"proto_center": center}
    )
    state = new_state(settings, cohort.DIM, cohort.CPU)
    kind = Compiled if sys.argv[4] == "compiled" else Trainer
    trainer = kind(settings, cohort.tokens(padded=True), workers, int(sys.argv[3]))
    rows = cohort.run_epochs(trainer, state, 1, None)
    rows += cohort.run_epochs(trainer, state, 3, cohort.targets(settings))
    sums = {name: value.double().norm().item() for name, value in state_tensors(state).items()}
    found[center] = {"rows": rows, "sums": sums}
if workers.rank == 0:
    open(sys.argv[1], "w").write(json.dumps(found))
"""

DECIDE = """
import json, sys
import torch
from tests.unit.slpd import cohort, plain
from workflow_scripts.slpd.engine import choose_engine
from workflow_scripts.slpd.gradients import Gradients
from workflow_scripts.slpd.parallel import join_workers
from workflow_scripts.slpd.state import new_state
from workflow_scripts.slpd.step_losses import soften
from workflow_scripts.slpd.trainer import Trainer

torch.set_num_threads(1)
workers = join_workers(60)
settings = plain.tiny_run(optimiser={"batch_size": 5})
state, data, targets = new_state(settings, cohort.DIM, cohort.CPU), cohort.tokens(), cohort.targets(settings)
trainer = Trainer(settings, data, workers)
inputs = next(trainer.draws.steps(0, 1, targets))

def wrong(graph, inputs):
    return lambda *args: tuple(out * 1.2 if out.is_floating_point() else out for out in graph(*args))

def broken(graph, inputs):
    raise ValueError("no compiler")

def compiles(backend):
    def make(backend, _):
        return Gradients(settings, state, data, targets, workers, 5, trainer.part, backend)
    return choose_engine(make, [inputs], backend, False)._soften is not soften

here = workers.rank == 1
ways = ["aot_eager", wrong if here else "aot_eager", broken if here else "aot_eager"]
found = [compiles(backend) for backend in ways]
open(f"{sys.argv[1]}.{workers.rank}", "w").write(json.dumps(found))
"""


def run(folder: Path, processes: int, fails: int = -1, micro_batch: int = 32, way: str = "written"):
    """Train in so many processes, once with each kind of centre; the results of the first, and the command's end."""
    script, output = folder / "train.py", folder / "found.json"
    script.write_text(SCRIPT)
    command = [sys.executable]
    if processes > 1:
        command += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    arguments = [str(script), str(output), str(fails), str(micro_batch), way]
    end = subprocess.run([*command, *arguments], env=environment, capture_output=True, text=True, timeout=120)
    return json.loads(output.read_text()) if output.exists() else None, end


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The training in one process."""
    found, end = run(tmp_path_factory.mktemp("alone"), 1)
    assert end.returncode == 0, end.stderr
    assert all(len(found[center]["rows"]) == 6 for center in CENTERS)
    return found


def same_rows(found: dict, alone: dict) -> None:
    """Losses to 1e-5; the entropies of nearly one-hot targets, which end near 0, to 2e-6 nats."""
    got, want = np.array(found["rows"]), np.array(alone["rows"])
    losses = slice(COLUMNS.index("loss"), COLUMNS.index("loss_inter") + 1)
    np.testing.assert_allclose(got[:, losses], want[:, losses], rtol=1e-5)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=2e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("processes", "way"), [(2, "written"), (4, "written"), (2, "compiled")])
def test_several_processes_give_the_training_of_one(alone, tmp_path, processes, way):
    several, end = run(tmp_path, processes, way=way)
    assert end.returncode == 0, end.stderr
    assert several["world"] == processes
    for center in CENTERS:
        same_rows(several[center], alone[center])
        assert several[center]["sums"] == pytest.approx(alone[center]["sums"], rel=1e-4)


def test_code_that_is_wrong_in_one_process_is_used_by_none(tmp_path):
    """Each compares its own gradients, and the second alone gets wrong code, or no compiler."""
    script, output = tmp_path / "decide.py", tmp_path / "found"
    script.write_text(DECIDE)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    call = [sys.executable, *launcher, str(script), str(output)]
    end = subprocess.run(call, env=environment, capture_output=True, text=True, timeout=120)
    assert end.returncode == 0, end.stderr
    found = [json.loads(Path(f"{output}.{rank}").read_text()) for rank in range(2)]
    assert found == [[True, False, False]] * 2


def test_parts_of_a_batch_give_the_same_training(alone, tmp_path):
    parts, end = run(tmp_path, 1, micro_batch=2)
    assert end.returncode == 0, end.stderr
    for center in CENTERS:
        same_rows(parts[center], alone[center])


def test_a_process_that_fails_ends_all_with_its_message(tmp_path):
    found, end = run(tmp_path, 2, fails=1)
    assert found is None
    assert end.returncode != 0
    assert "this one fails" in end.stderr


@pytest.mark.parametrize(("batch", "world"), [(5, 1), (5, 2), (5, 4), (3, 4), (512, 7)])
def test_every_region_of_a_batch_is_worked_on_once(batch, world):
    shares = [list(Workers(rank, world).share(batch)) for rank in range(world)]
    assert [place for share in shares for place in share] == list(range(batch))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_one_process_sums_nothing():
    tensors = [torch.arange(3.0)]
    Workers().sum(tensors)
    assert tensors[0].tolist() == [0, 1, 2]
