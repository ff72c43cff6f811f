"""The trainer against a slow second implementation: network, losses, clipping, AdamW, EMA and centres by hand."""

import numpy as np
import pytest
import torch

from workflow_scripts.core.errors import UserError
from workflow_scripts.slpd.crops import centre_window
from workflow_scripts.slpd.gradients import Gradients
from workflow_scripts.slpd.inputs import Draws
from workflow_scripts.slpd.parallel import Workers
from workflow_scripts.slpd.state import TrainState, load_state, new_state, save_state, state_tensors
from workflow_scripts.slpd.step_losses import MEASURES, StepLosses
from workflow_scripts.slpd.trainer import COLUMNS, PrototypeTargets, TokenData, Trainer, embed_regions

from . import cohort, plain
from .plain_engine import PlainTraining

WEIGHTS = {"self_weight": 0.7, "intra_weight": 1.3, "inter_weight": 0.6, "center_momentum": 0.8}


def double_state(settings) -> TrainState:
    state = new_state(settings, cohort.DIM, cohort.CPU)
    torch.manual_seed(3)
    for network in (state.student.double(), state.teacher.double()):
        for parameter in network.parameters():  # off the initialisation, where all regions look alike
            parameter.data += 0.3 * torch.randn_like(parameter)
    state.center, state.proto_center = state.center.double(), state.proto_center.double()
    return state


@pytest.mark.parametrize("padded", [False, True])
def test_three_epochs_equal_the_slow_implementation(padded):
    settings = plain.tiny_run(loss=WEIGHTS, optimiser={"lr": 1.0, "clip_grad": 0.5, "teacher_momentum": 0.8})
    data, state = cohort.tokens(torch.float64, padded), double_state(settings)
    start = {name: value.clone() for name, value in state.student.named_parameters()}
    slow = PlainTraining(settings, state, cohort.arrays(padded), cohort.prototypes(settings), cohort.neighbours())
    targets = cohort.targets(settings)
    targets.vectors = targets.vectors.double()
    rows = cohort.run_epochs(Trainer(settings, data), state, 3, targets)
    want = [line[:4] for epoch in range(3) for line in slow.run_epoch(epoch, 4)]

    got = [[row[COLUMNS.index(name)] for name in ("loss", "loss_self", "loss_intra", "loss_inter")] for row in rows]
    np.testing.assert_allclose(got, want, rtol=1e-6)
    assert len(want) == 6
    for kind, entropies in slow.proto.entropies.items():
        told = [[row[COLUMNS.index(f"{name}_{kind}")] for name in ("entropy", "loss")] for row in rows]
        np.testing.assert_allclose([entropy for entropy, _ in told], entropies, rtol=1e-6)
        assert all(loss > entropy for entropy, loss in told)  # the divergence is never negative
    for network, weights in ((state.student, slow.student), (state.teacher, slow.teacher)):
        for name, value in network.named_parameters():
            reference = weights[name.removeprefix("backbone.")]
            torch.testing.assert_close(value, reference, rtol=1e-6, atol=1e-9, msg=lambda m, n=name: f"{n}: {m}")
    torch.testing.assert_close(state.center, slow.center, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(state.proto_center, slow.proto_center, rtol=1e-6, atol=1e-9)
    # nothing above is trivially equal: clipping happened, some gradients were left alone, all weights moved
    assert 0 < slow.clipped < 6 * len(slow.student)
    assert all((value != start[name]).any() for name, value in state.student.named_parameters())
    assert all((line[i] > 0) for line in want for i in range(4))


def test_last_layer_is_frozen_in_the_first_epoch_alone():
    settings = plain.tiny_run(optimiser={"lr": 1.0})
    state = new_state(settings, cohort.DIM, cohort.CPU)
    before = state.student.head.last_layer.detach().clone()
    trainer = Trainer(settings, cohort.tokens())
    cohort.run_epochs(trainer, state, 1, None)
    assert torch.equal(state.student.head.last_layer, before)
    cohort.run_epochs(trainer, state, 2, None)
    assert not torch.equal(state.student.head.last_layer, before)


def test_rounds_one_by_one_through_files_equal_one_long_run(tmp_path):
    settings = plain.tiny_run(model={"drop_path": 0.3}, optimiser={"lr": 1.0})
    data, targets = cohort.tokens(padded=True), cohort.targets(settings)
    whole = new_state(settings, cohort.DIM, cohort.CPU)
    rows = cohort.run_epochs(Trainer(settings, data), whole, 1, None)
    rows += cohort.run_epochs(Trainer(settings, data), whole, 4, targets)
    state, parts = new_state(settings, cohort.DIM, cohort.CPU), []
    for until in (1, 2, 3, 4):
        torch.manual_seed(until)  # whatever ran before must not matter
        parts += cohort.run_epochs(Trainer(settings, data), state, until, None if until == 1 else targets)
        save_state(tmp_path / "state.safetensors", state)
        state, _ = load_state(tmp_path / "state.safetensors", settings, cohort.DIM, cohort.CPU)
    one, other = state_tensors(whole), state_tensors(state)
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name
    assert [row[:-1] for row in rows] == [row[:-1] for row in parts]  # all but regions_per_s


def test_batch_without_any_prototype_is_finite_and_trains_by_self_distillation():
    settings = plain.tiny_run(optimiser={"lr": 1.0})
    prototypes, neighbours = cohort.prototypes(settings), cohort.neighbours()
    prototypes.assignment[:] = -1
    targets = PrototypeTargets(prototypes, neighbours, cohort.SLIDE_INDEX, cohort.CPU)
    states = [new_state(settings, cohort.DIM, cohort.CPU) for _ in range(2)]
    rows = cohort.run_epochs(Trainer(settings, cohort.tokens()), states[0], 2, targets)
    cohort.run_epochs(Trainer(settings, cohort.tokens()), states[1], 2, None)
    table = np.array(rows)
    assert np.isfinite(table).all()
    absent = ("loss_intra", "loss_inter", "entropy_intra", "entropy_inter")
    assert not table[:, [COLUMNS.index(name) for name in absent]].any()
    assert not states[0].proto_center.any()
    for name, value in states[0].student.state_dict().items():
        assert torch.equal(value, states[1].student.state_dict()[name]), name


def test_one_step_lowers_the_loss_it_was_taken_on():
    optimiser = {"lr": 0.01, "batch_size": 11, "lr_warmup_epochs": 0, "freeze_last_layer_epochs": 0}
    settings = plain.tiny_run(optimiser=optimiser)
    state, data = double_state(settings), cohort.tokens(torch.float64)
    gradients = Gradients(settings, state, data, None, Workers(), batch=11, part=11)
    inputs = Draws(settings, data, 11).draw(0, torch.arange(11), None)
    first = gradients.compute(inputs)
    state.optimiser.param_groups[0]["lr"] = 0.02
    state.optimiser.step()  # the teacher stays: only the student has moved
    assert gradients.compute(inputs).measures[0] < first.measures[0]


def test_the_teachers_entropy_is_what_l_self_cannot_fall_below():
    """A student that equals its teacher, at the same temperature and a centre of 0, has a divergence of 0."""
    settings = plain.tiny_run(loss={"student_temp": 0.04, "teacher_temp": 0.04})
    state = double_state(settings)
    state.center.zero_()
    state.student.head.load_state_dict(state.teacher.head.state_dict())
    directions = state.teacher.head.directions().detach()
    losses = StepLosses(settings, state, directions.clone().requires_grad_(), directions, 6)
    width = directions.shape[1]
    view = torch.nn.functional.normalize(torch.randn(1, 6, width, dtype=torch.float64), dim=2).expand(2, -1, -1)
    losses.add(view.clone().requires_grad_(), view, slice(None))
    told = dict(zip(MEASURES, losses.finish(torch.zeros(2)).measures.tolist(), strict=True))
    assert told["loss_self"] == pytest.approx(told["teacher_entropy"], rel=1e-9) and told["loss_self"] > 0


@pytest.mark.parametrize("clip_grad", [0.0, 1e-3])
def test_norms_are_those_of_all_gradients_before_clipping_and_of_the_weights_before_the_step(clip_grad):
    settings = plain.tiny_run(optimiser={"batch_size": 11, "clip_grad": clip_grad})
    state, data = double_state(settings), cohort.tokens(torch.float64)
    trainer = Trainer(settings, data, micro_batch=4)
    (inputs,) = trainer.draws.steps(0, 1, None)
    gradients = Gradients(settings, state, data, None, Workers(), batch=11, part=11)
    _, wanted = gradients.of_process(inputs, [(slice(0, 11), *data.take(inputs.batch))])  # not clipped
    gradient = torch.cat([one.flatten() for one in wanted]).norm().item()
    weight = torch.cat([one.detach().flatten() for one in state.student.parameters()]).norm().item()
    (step,) = trainer.steps(state, 1, None)
    (row,) = trainer.rows([step])
    told = dict(zip(COLUMNS, row, strict=True))
    assert told["gradient_norm"] == pytest.approx(gradient, rel=1e-6) and gradient > 1e-3
    assert told["weight_norm"] == pytest.approx(weight, rel=1e-6)


def test_no_region_is_told():
    empty = TokenData(torch.zeros(0, 16, 5), torch.ones(0, 16, dtype=torch.bool), 4)
    with pytest.raises(UserError, match="no region to train on"):
        Trainer(plain.tiny_run(), empty)


def test_batch_larger_than_the_cohort_is_cut():
    trainer = Trainer(plain.tiny_run(optimiser={"batch_size": 512}), cohort.tokens())
    assert (trainer.batch, trainer.steps_per_epoch) == (11, 1)
    settings = trainer.settings
    peak = max(trainer.values(step).lr for step in range(settings.schedule_epochs))
    assert peak <= settings.optimiser.lr * 11 / 256 * (1 + 1e-12)  # scaled by the batch in use


@pytest.mark.parametrize("weight", ["intra_weight", "inter_weight"])
def test_a_loss_of_weight_zero_takes_no_part_not_even_in_the_centre(weight):
    settings = plain.tiny_run(loss={weight: 0.0}, optimiser={"lr": 1.0})
    one, other = cohort.targets(settings), cohort.targets(settings)
    off = slice(0, 1) if weight == "intra_weight" else slice(1, None)
    other.index[off] = other.index[off].flip(1)  # other targets for the loss that is off
    states = [new_state(settings, cohort.DIM, cohort.CPU) for _ in range(2)]
    for state, targets in zip(states, (one, other), strict=True):
        cohort.run_epochs(Trainer(settings, cohort.tokens()), state, 2, targets)
    tensors = [state_tensors(state) for state in states]
    assert tensors[0]["proto_center"].any()
    assert all(torch.equal(value, tensors[1][name]) for name, value in tensors[0].items())


def test_prototype_targets_one_region_after_another():
    settings = plain.tiny_run()
    prototypes, neighbours, targets = cohort.prototypes(settings), cohort.neighbours(), cohort.targets(settings)
    slow = PlainTraining(settings, new_state(settings, cohort.DIM, cohort.CPU), None, prototypes, neighbours)
    for n in range(cohort.REGIONS):
        for t, want in enumerate(slow.target_vectors(n)):
            place = targets.index[t, n].item()
            if want is None:
                assert place == -1
            else:
                assert torch.equal(targets.vectors[place].double(), want)


def test_token_data_keeps_the_rows_in_order():
    tokens = np.arange(2 * 3 * 3 * 4, dtype=np.float16).reshape(2, 3, 3, 4)
    read_ok = np.arange(18).reshape(2, 3, 3) % 2 == 0
    data = TokenData.from_arrays(tokens, read_ok, cohort.CPU)
    for r in range(3):
        for c in range(3):
            assert data.source.tokens[1, 3 * r + c].tolist() == tokens[1, r, c].tolist()
            assert data.valid[1, 3 * r + c].item() == read_ok[1, r, c]
    assert data.grid == 3


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("batch", [1, 4, 256])
def test_embed_regions_equals_one_region_after_another(padded, batch):
    settings = plain.tiny_run()
    network, data = new_state(settings, cohort.DIM, cohort.CPU).teacher, cohort.tokens(padded=padded)
    window = centre_window(4, 3)
    features, projected = embed_regions(network, data, window, batch)
    weights = {n.removeprefix("backbone."): p.double() for n, p in network.named_parameters()}
    for n in range(cohort.REGIONS):
        keep = data.valid[n][window].flatten().nonzero()[:, 0].tolist()
        want = plain.vit(weights, data.source.tokens[n][window].double(), keep, heads=2, depth=2, side=3)
        torch.testing.assert_close(features[n].double(), want, rtol=1e-3, atol=1e-4)
        logits = network.head.logits(projected[n][None])[0].double()
        torch.testing.assert_close(logits, plain.logits(weights, want), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(projected.norm(dim=1), torch.ones(cohort.REGIONS))
