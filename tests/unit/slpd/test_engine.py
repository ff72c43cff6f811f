"""Steps compiled and replayed against steps as they are written, through whole trainings.

Replaying is tried here with the step as a plain function in place of a CUDA graph: whether the static inputs are filled
and the results handed on is the same. Most tests compile without generating code (`aot_eager`), which is where shapes,
gradients and branches can go wrong; one generates code, where there is a compiler.
"""

import functools
import gc
import logging
import shutil
from typing import Any

import numpy as np
import pytest
import torch

from workflow_scripts.config import PretrainRun
from workflow_scripts.slpd import engine
from workflow_scripts.slpd import trainer as trainers
from workflow_scripts.slpd.captured import Captured
from workflow_scripts.slpd.engine import choose_engine, to_compile, to_record
from workflow_scripts.slpd.gradients import Gradients
from workflow_scripts.slpd.state import load_state, new_state, save_state, state_tensors
from workflow_scripts.slpd.trainer import COLUMNS, Trainer

from . import cohort, plain
from .both_engines import compare, prototypes_of
from .plain_engine import PlainTraining

GPU = torch.device("cuda")
LOSSES = slice(COLUMNS.index("loss"), COLUMNS.index("loss_inter") + 1)


@pytest.fixture(autouse=True)
def _nothing_compiled_before():
    """Of a function torch keeps so many compiled forms, and then runs it as written."""
    torch.compiler.reset()


class Chosen(Trainer):
    """A trainer that compiles with the given backend, and replays a plain function where told to."""

    backend: str | None = None
    replay = False

    def _engine(self, state, targets, steps):
        run = (self.settings, state, self.data, targets)
        inputs = list(self.draws.steps(state.step, state.step + 2, targets))
        rest = (self.workers, self.batch, self.part)
        found = choose_engine(lambda backend, _: Gradients(*run, *rest, backend), inputs, self.backend, record=False)
        assert (self.backend is None) == (found._soften is engine_of_plain(self, state, targets)._soften)
        return Captured(found, inputs[0], record=again) if self.replay else found


def engine_of_plain(trainer: Trainer, state: Any, targets: Any) -> Gradients:
    return Gradients(trainer.settings, state, trainer.data, targets, trainer.workers, trainer.batch, trainer.part)


def again(body):
    """Repeats the work as a CUDA graph does: into the tensors of its first run, and without touching parameters."""
    captured = body.__self__
    body()
    found, gradients = captured._found, captured._kept
    places = [*found, *gradients]

    def replay():
        held = [parameter.grad for parameter in captured.state.student.parameters()]
        body()
        with torch.no_grad():
            for place, value in zip(places, [*captured._found, *captured._kept], strict=True):
                place.copy_(value)
        captured._found, captured._kept = found, gradients
        for parameter, gradient in zip(captured.state.student.parameters(), held, strict=True):
            parameter.grad = gradient

    return replay


def trainer_of(way: str, settings: PretrainRun, data: Any, part: int | None = None) -> Chosen:
    trainer = Chosen(settings, data, micro_batch=part)
    trainer.backend = "aot_eager" if "compiled" in way else None
    trainer.replay = "replayed" in way
    return trainer


def settings_of(center: str = "joint", **more: Any) -> PretrainRun:
    loss = {"proto_center": center, "neighbour_temp": 0.5 if center == "sinkhorn" else 0}
    return plain.tiny_run(model={"drop_path": 0.3}, optimiser={"lr": 1.0}, loss=loss, **more)


WAYS = ("compiled", "replayed", pytest.param("compiled and replayed", marks=pytest.mark.slow))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("center", "padded", "part"), [("joint", False, None), ("shared", True, 3), ("sinkhorn", False, 3)]
)
def test_training_is_that_of_steps_as_written(way, center, padded, part):
    settings = settings_of(center)
    data, targets = cohort.tokens(padded=padded), cohort.targets(settings)
    targets.weights[2] = 0.3 if settings.loss.neighbour_temp else 1
    want, state = (new_state(settings, cohort.DIM, cohort.CPU) for _ in range(2))
    rows = cohort.run_epochs(Trainer(settings, data, micro_batch=part), want, 1, None)
    rows += cohort.run_epochs(Trainer(settings, data, micro_batch=part), want, 4, targets)
    trainer = trainer_of(way, settings, data, part)
    got = cohort.run_epochs(trainer, state, 1, None)
    got += cohort.run_epochs(trainer, state, 4, targets)
    np.testing.assert_allclose(np.array(got)[:, LOSSES], np.array(rows)[:, LOSSES], rtol=1e-5)
    np.testing.assert_allclose(got, rows, rtol=1e-5, atol=2e-6)
    tensors = state_tensors(state)
    for name, value in state_tensors(want).items():
        if way == "replayed":
            assert torch.equal(value, tensors[name]), name
        torch.testing.assert_close(value, tensors[name], rtol=1e-3, atol=1e-4, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("way", WAYS)
def test_training_is_that_of_the_slow_engine(way):
    """In float64: with clipping, padding, stochastic depth off, and the last layer frozen and free."""
    settings = plain.tiny_run(optimiser={"lr": 1.0, "clip_grad": 0.5, "teacher_momentum": 0.8})
    arrays, state, prototypes = cohort.arrays(True), cohort.double_state(settings), prototypes_of(settings)
    slow = PlainTraining(settings, state, arrays, prototypes, cohort.neighbours())
    targets = cohort.targets(settings)
    targets.vectors = torch.from_numpy(prototypes.vectors).flatten(0, 1)
    trainer = trainer_of(way, settings, cohort.token_data(arrays, torch.float64))
    rows = cohort.run_epochs(trainer, state, settings.warmup_epochs, None)
    rows += cohort.run_epochs(trainer, state, 3, targets)
    compare(slow, slow.run(3, warm_epoch=settings.warmup_epochs - 1), state, rows)


@pytest.mark.parametrize("way", WAYS)
def test_in_bfloat16_losses_stay_within_a_hundredth(way):
    settings = settings_of(precision="bfloat16")
    data, targets, found = cohort.tokens(), cohort.targets(settings), []
    for trainer in (Trainer(settings, data), trainer_of(way, settings, data)):
        state = new_state(settings, cohort.DIM, cohort.CPU)
        found.append(np.array(cohort.run_epochs(trainer, state, 2, targets))[:, LOSSES])
    np.testing.assert_allclose(found[1], found[0], rtol=1e-2)


@pytest.mark.parametrize("way", WAYS)
def test_resumed_through_a_file_from_within_an_epoch_equals_uninterrupted(way, tmp_path):
    settings = settings_of()
    data, targets = cohort.tokens(padded=True), cohort.targets(settings)
    whole, state = (new_state(settings, cohort.DIM, cohort.CPU) for _ in range(2))
    rows = cohort.run_epochs(trainer_of(way, settings, data), whole, 3, targets)
    parts = cohort.run_steps(trainer_of(way, settings, data), state, 3, 3, targets)
    save_state(tmp_path / "state.safetensors", state)
    state, _ = load_state(tmp_path / "state.safetensors", settings, cohort.DIM, cohort.CPU)
    parts += cohort.run_epochs(trainer_of(way, settings, data), state, 3, targets)
    assert [row[:-1] for row in parts] == [row[:-1] for row in rows]
    tensors = state_tensors(state)
    assert all(torch.equal(value, tensors[name]) for name, value in state_tensors(whole).items())


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="generating code for a CPU needs a C++ compiler")
def test_generated_code_gives_the_losses_of_steps_as_written():
    settings = plain.tiny_run(model={"drop_path": 0.3})
    data, targets, found = cohort.tokens(), cohort.targets(settings), []
    for compile in ("false", "true"):
        state = new_state(settings, cohort.DIM, cohort.CPU)
        trainer = Trainer(settings, data, compile=compile)
        found.append(np.array(cohort.run_epochs(trainer, state, 2, targets))[:, LOSSES])
    np.testing.assert_allclose(found[1], found[0], rtol=1e-5)


def test_all_blocks_share_a_compiled_form_for_each_size_of_crops():
    """Student and teacher on global crops, the student on local ones; the targets of crops and of prototypes."""
    graphs = []

    def counted(graph, inputs):
        graphs.append(graph)
        return graph

    settings = plain.tiny_run(model={"drop_path": 0.3, "depth": 4})
    data, targets = cohort.tokens(), cohort.targets(settings)
    state = new_state(settings, cohort.DIM, cohort.CPU)
    trainer = Trainer(settings, data)
    found = Gradients(settings, state, data, targets, trainer.workers, trainer.batch, trainer.part, counted)
    for inputs in trainer.draws.steps(0, 3, targets):
        found.compute(inputs)
    assert len(graphs) == 5


@pytest.mark.parametrize("backend", [None, "aot_eager"])
def test_a_step_in_bfloat16_keeps_no_node_that_adds_up_gradients(backend):
    """Such a node belongs to a stream of the GPU; it would make a recording on another stream invalid."""
    settings = settings_of(precision="bfloat16")
    data, targets = cohort.tokens(padded=True), cohort.targets(settings)
    state, trainer = new_state(settings, cohort.DIM, cohort.CPU), Trainer(settings, data)
    run = (settings, state, data, targets, trainer.workers, trainer.batch, trainer.part)
    gradients = Gradients(*run, backend)
    gradients.compute(next(trainer.draws.steps(0, 1, targets)))

    def nodes():
        parameters = state.student.parameters()
        return [parameter.expand_as(parameter).grad_fn.next_functions[0][0] for parameter in parameters]

    for node in nodes():
        node.metadata["seen"] = True
    del node  # the last of them would live on by its name
    gc.collect()
    assert gradients and not any("seen" in node.metadata for node in nodes())


def test_a_trainer_that_records_holds_fewer_regions_at_once_and_gives_the_same(monkeypatch, caplog):
    settings = settings_of("shared")
    data, targets = cohort.tokens(padded=True), cohort.targets(settings)
    want = cohort.run_epochs(Trainer(settings, data), new_state(settings, cohort.DIM, cohort.CPU), 4, targets)
    monkeypatch.setattr(trainers, "to_record", lambda *_: True)
    monkeypatch.setattr(trainers, "RECORDED_PART", 2)
    monkeypatch.setattr(engine, "Captured", functools.partial(Captured, record=again))
    trainer = Trainer(settings, data)
    rows = cohort.run_epochs(trainer, new_state(settings, cohort.DIM, cohort.CPU), 4, targets)
    assert trainer.part == 2 and not [record for record in caplog.records if record.levelno >= logging.WARNING]
    np.testing.assert_allclose(rows, want, rtol=1e-5, atol=2e-6)


def chosen_without_recording(backend):
    """What is chosen where recording, one region at a time, fails as it stands for want of CUDA; and the maker."""
    if torch.cuda.is_available():
        pytest.skip("recording works here")
    settings = settings_of()
    data, targets = cohort.tokens(), cohort.targets(settings)
    state, trainer = new_state(settings, cohort.DIM, cohort.CPU), Trainer(settings, data)

    def make(backend, recorded):
        part = 1 if recorded else trainer.part
        return Gradients(settings, state, data, targets, trainer.workers, trainer.batch, part, backend)

    return choose_engine(make, list(trainer.draws.steps(0, 2, targets)), backend, record=True), make


def test_what_is_compiled_and_not_recorded_has_the_whole_part(caplog):
    found, make = chosen_without_recording("aot_eager")
    assert len(found.parts()) == 1 and found._soften is make("aot_eager", False)._soften


def wrong_in_large_parts(graph, inputs):
    """Wrong where a block meets more crops than one region has."""
    large = any(torch.is_tensor(x) and x.ndim == 3 and len(x) > 4 for x in inputs)
    return wrong(graph, inputs) if large else graph


def test_what_is_compiled_for_whole_parts_is_compared_there(caplog):
    """Of one region at once the compiled code is right, of four it is not."""
    found, make = chosen_without_recording(wrong_in_large_parts)
    assert len(found.parts()) == 1 and found._soften is make(None, False)._soften
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert [line.split(" did not")[0] for line in told] == [
        "recording the training step as a CUDA graph", "compiling the training step for whole parts",
    ]  # fmt: skip
    assert "it gives a" in told[1] or "it gives other" in told[1]


def test_books_of_memory_that_are_not_in_order_end_no_run(monkeypatch):
    """As torch has them once a CUDA graph could not be recorded."""

    def out_of_order():
        raise RuntimeError("captures_underway.empty() INTERNAL ASSERT FAILED")

    settings = settings_of()
    data, state = cohort.tokens(), new_state(settings_of(), cohort.DIM, cohort.CPU)
    trainer = Trainer(settings, data)
    rest = (trainer.workers, trainer.batch, trainer.part)
    inputs = list(trainer.draws.steps(0, 1, None))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", out_of_order)
    found = choose_engine(
        lambda backend, _: Gradients(settings, state, data, None, *rest, backend), inputs, broken, True
    )
    assert isinstance(found, Gradients)


def broken(graph, inputs):
    raise ValueError("no such backend\nand more")


def test_what_cannot_be_compiled_or_recorded_is_left_and_told_in_a_sentence(caplog):
    if torch.cuda.is_available():
        pytest.skip("recording works here")
    settings = settings_of()
    data, targets = cohort.tokens(), cohort.targets(settings)
    state, want = (new_state(settings, cohort.DIM, cohort.CPU) for _ in range(2))
    trainer = Trainer(settings, data)
    before = {name: value.clone() for name, value in state_tensors(state).items()}
    inputs = next(trainer.draws.steps(0, 1, targets))
    rest = (trainer.workers, trainer.batch, trainer.part)

    def make(backend, recorded):
        return Gradients(settings, state, data, targets, *rest, backend)

    with caplog.at_level(logging.INFO):
        found = choose_engine(make, [inputs], broken, record=True)
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(told) == 2
    assert told[0].startswith("compiling the training step did not work here, so training goes on without: ")
    assert told[1].startswith("recording the training step as a CUDA graph did not work here")
    assert all("\n" not in line for line in told)
    assert all(torch.equal(value, before[name]) for name, value in state_tensors(state).items())
    plainly = Gradients(settings, want, data, targets, *rest)
    assert torch.equal(found.compute(inputs).measures, plainly.compute(inputs).measures)


def wrong(graph, inputs):
    def run(*args):
        return tuple(out * 1.2 if out.is_floating_point() else out for out in graph(*args))

    return run


def test_a_way_that_gives_other_numbers_is_not_taken(caplog):
    settings = settings_of()
    data, targets = cohort.tokens(), cohort.targets(settings)
    state, trainer = new_state(settings, cohort.DIM, cohort.CPU), Trainer(settings, data)
    rest = (trainer.workers, trainer.batch, trainer.part)

    def make(backend, recorded):
        return Gradients(settings, state, data, targets, *rest, backend)

    found = choose_engine(make, list(trainer.draws.steps(0, 2, targets)), wrong, record=False)
    assert isinstance(found, Gradients) and found._soften is engine_of_plain(trainer, state, targets)._soften
    assert "did not work here, so training goes on without: it gives " in caplog.text


def test_when_steps_are_compiled_and_recorded():
    many = engine._REGIONS_TO_COMPILE
    assert to_compile("auto", GPU, many) and not to_compile("auto", GPU, many - 1)
    assert not to_compile("auto", cohort.CPU, 10 * many)  # there it takes minutes
    assert to_compile("true", cohort.CPU, 1) and not to_compile("false", GPU, 10 * many)
    enough = engine._STEPS_TO_RECORD
    assert to_record("auto", GPU, enough, 1) and not to_record("auto", GPU, enough - 1, 1)
    assert to_record("true", GPU, enough, 1) and not to_record("false", GPU, 10**6, 1)
    assert not to_record("auto", GPU, 10**6, 2) and not to_record("true", cohort.CPU, 10**6, 1)
