"""What a training job tells of its speed, against sums by hand and by a plain count of the work."""

import json
import time
from pathlib import Path

import pytest

from workflow_scripts.config.flop import step_flop
from workflow_scripts.slpd.inputs import Ahead
from workflow_scripts.slpd.progress import ScratchState, finish, train
from workflow_scripts.slpd.speed import Spent, peak_memory, sentence, speed
from workflow_scripts.slpd.state import new_state
from workflow_scripts.slpd.trainer import Trainer

from . import cohort, plain

SETTINGS = plain.tiny_run()
FACTS = {
    **{"steps": 78, "batch": 512, "processes": 2, "regions_per_s": 11000.4, "tflop_per_s": 179.04},
    **{"peak_share": 0.0906, "device": "NVIDIA H100 80GB HBM3", "arithmetic": "bfloat16", "peak_memory": 3 * 2**32},
    **{"loading_s": 4.04, "preparing_s": 21.3, "waiting_s": 0.1, "steps_s": 3.63, "saving_s": 0.26},
}


@pytest.fixture
def run(tmp_path):
    trainer, state = Trainer(SETTINGS, cohort.tokens()), new_state(SETTINGS, cohort.DIM, cohort.CPU)
    spent, targets = Spent(loading=2.0), cohort.targets(SETTINGS)
    began = time.monotonic()
    rows = train(trainer, state, 3, targets, ScratchState(str(tmp_path / "s"), "x"), [], spent)
    return trainer, state, targets, spent, time.monotonic() - began, rows


def test_a_job_counts_its_steps_and_its_time(run):
    trainer, state, targets, spent, took, _ = run
    assert spent.count == 6
    assert 0 < spent.waiting < spent.steps <= took
    facts = speed(spent, trainer, state, targets)
    assert facts["regions_per_s"] == pytest.approx(6 * 4 / spent.steps)
    flop = step_flop(SETTINGS, 4, cohort.DIM, 3)  # the own prototype, and those of two neighbours
    assert facts["tflop_per_s"] == pytest.approx(facts["regions_per_s"] * flop / 1e12)
    assert (facts["device"], facts["arithmetic"], facts["peak_share"]) == ("cpu", "float32", None)
    assert (facts["loading_s"], facts["processes"], facts["batch"]) == (2.0, 1, 4)


def test_a_job_without_a_step_has_no_rate(run):
    trainer, state, targets, *_ = run
    facts = speed(Spent(), trainer, state, targets)
    assert facts["regions_per_s"] is facts["tflop_per_s"] is facts["peak_share"] is None
    assert "regions/s" not in sentence(facts)


def test_saving_is_no_part_of_the_steps(run):
    spent, trainer = Spent(), run[0]
    with spent.in_steps(trainer), spent.in_saving():
        time.sleep(0.2)
    assert spent.saving >= 0.2 > spent.steps


def test_what_chooses_the_engine_is_no_part_of_the_steps(tmp_path):
    trainer, state = Trainer(SETTINGS, cohort.tokens()), new_state(SETTINGS, cohort.DIM, cohort.CPU)
    chosen, spent, began = trainer._engine, Spent(), time.monotonic()

    def engine(*args):
        time.sleep(0.2)
        return chosen(*args)

    trainer._engine = engine
    train(trainer, state, 1, None, ScratchState(str(tmp_path / "s"), "x"), [], spent)
    assert spent.preparing >= 0.2
    assert spent.steps + spent.preparing <= time.monotonic() - began
    assert speed(spent, trainer, state, None)["regions_per_s"] == pytest.approx(2 * 4 / spent.steps)


@pytest.mark.parametrize(("drawn_by", "least"), [(iter, 0.3), (Ahead, 0.05)])  # the first at least is waited for
def test_steps_that_wait_for_their_draws_say_so(drawn_by, least, tmp_path):
    trainer, state = Trainer(SETTINGS, cohort.tokens()), new_state(SETTINGS, cohort.DIM, cohort.CPU)
    inputs, draw, spent = trainer._inputs, trainer.draws.draw, Spent()

    def slowly(*args):
        time.sleep(0.05)
        return draw(*args)

    def ahead(*args):
        return Ahead(trainer.draws.steps(*args))

    trainer.draws.draw = slowly
    trainer._inputs = ahead if drawn_by is Ahead else inputs
    train(trainer, state, 3, None, ScratchState(str(tmp_path / "s"), "x"), [], spent)
    assert least <= spent.waiting < spent.steps


def test_time_counts_when_training_is_cut_off(run):
    spent, trainer = Spent(), run[0]
    with pytest.raises(KeyboardInterrupt), spent.in_steps(trainer):
        time.sleep(0.01)
        raise KeyboardInterrupt
    assert spent.steps >= 0.01


def test_the_sentence_of_the_log():
    assert sentence(FACTS) == (
        "78 steps of 512 regions in bfloat16 on 2 x NVIDIA H100 80GB HBM3: 11,000 regions/s, 179 TFLOP/s (9.1% of the "
        "peak), at most 12.00 GiB; loading 4.0 s, compiling and recording 21.3 s, steps 3.6 s, of which waiting for "
        "data 0.1 s, saving 0.3 s"
    )


def test_facts_lie_beside_the_metrics(run, tmp_path):
    trainer, state, targets, spent, _, rows = run
    outputs = [str(tmp_path / "round_01" / name) for name in ("state.safetensors", "metrics.parquet")]
    finish(trainer, state, targets, rows, spent, *outputs)
    found = json.loads((tmp_path / "round_01/speed.json").read_text())
    assert found.keys() == FACTS.keys()
    assert found["steps"] == 6
    assert found["saving_s"] > 0


def test_memory_of_a_process_is_what_the_kernel_tells():
    status = Path("/proc/self/status").read_text().split()
    peak = int(status[status.index("VmHWM:") + 1]) * 1024
    assert peak_memory(cohort.CPU) == pytest.approx(peak, rel=0.05)
