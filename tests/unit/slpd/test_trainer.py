"""The trainer against a slow second implementation: network, losses, clipping, AdamW, EMA and centres by hand."""

import math

import numpy as np
import pytest
import torch

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.seeds import derive_seed
from workflow_scripts.slpd.crops import centre_window, sample_windows
from workflow_scripts.slpd.state import TrainState, load_state, new_state, save_state, state_tensors
from workflow_scripts.slpd.trainer import COLUMNS, PrototypeTargets, TokenData, Trainer, embed_regions

from . import cohort, plain

WEIGHTS = {"self_weight": 0.7, "intra_weight": 1.3, "inter_weight": 0.6, "center_momentum": 0.8}


class PlainTraining:
    """One pretraining run in float64, region after region and parameter after parameter."""

    def __init__(self, settings, state, data, prototypes, neighbours):
        self.settings, self.data, self.prototypes, self.neighbours = settings, data, prototypes, neighbours
        flat = {name.removeprefix("backbone."): p.detach().clone() for name, p in state.student.named_parameters()}
        self.student = {name: p.requires_grad_() for name, p in flat.items()}
        self.teacher = {n.removeprefix("backbone."): p.clone() for n, p in state.teacher.named_parameters()}
        self.moments = {name: (0.0, 0.0, 0) for name in flat}
        self.center = torch.zeros(settings.head.out_dim, dtype=torch.float64)
        self.proto_center = self.center.clone()
        self.step = 0
        self.clipped = 0

    def crop_logits(self, weights, regions, windows):
        model, size = self.settings.model, self.settings.crops.global_size
        out = []
        for window in windows:
            row = []
            for b, n in enumerate(regions):
                crop, valid = self.data.tokens[n][window[b]], self.data.valid[n][window[b]].flatten()
                keep = valid.nonzero()[:, 0].tolist()
                row.append(plain.logits(weights, plain.vit(weights, crop, keep, model.heads, model.depth, size)))
            out.append(torch.stack(row))
        return torch.stack(out)

    def target_vectors(self, n):
        """Own prototype and the neighbours' matched ones of region n; None where there is none."""
        slide, own = cohort.SLIDE_INDEX[n], self.prototypes.assignment[n]
        if own < 0:
            return [None] * (1 + self.neighbours.index.shape[1])
        found = [self.prototypes.vectors[slide, own]]
        for other, matching in zip(self.neighbours.index[slide], self.neighbours.matching[slide], strict=True):
            found.append(None if other < 0 else self.prototypes.vectors[other, matching[own]])
        return [None if v is None else torch.from_numpy(v).double() for v in found]

    def prototype_losses(self, regions, student):
        cfg, c = self.settings.loss, self.settings.head.out_dim
        logits = torch.zeros(1 + self.neighbours.index.shape[1], len(regions), c, dtype=torch.float64)
        present = torch.zeros(logits.shape[:2], dtype=torch.bool)
        for b, n in enumerate(regions):
            for t, vector in enumerate(self.target_vectors(n)):
                if vector is not None:
                    logits[t, b], present[t, b] = plain.last_layer(self.teacher, vector), True
        q = torch.stack([torch.stack([plain.softmax((x - self.proto_center) / cfg.teacher_temp) for x in row])
                         for row in logits])  # fmt: skip
        if present.any():
            mean = logits[present].mean(0)
            self.proto_center = cfg.center_momentum * self.proto_center + (1 - cfg.center_momentum) * mean
        intra = plain.prototype_loss(q[:1], present[:1], student)
        return intra, plain.prototype_loss(q[1:], present[1:], student)

    def values(self, per_epoch):
        opt, steps = self.settings.optimiser, per_epoch * self.settings.schedule_epochs
        peak, warm = opt.lr * opt.batch_size / 256, opt.lr_warmup_epochs * per_epoch

        def half_cosine(start, end, at, length):
            return end + (start - end) * (1 + math.cos(math.pi * at / length)) / 2

        ramp = np.linspace(0, peak, warm)
        at = self.step - warm
        lr = ramp[self.step] if at < 0 else half_cosine(peak, opt.lr_min, at, steps - warm)
        decay = half_cosine(opt.weight_decay, opt.weight_decay_end, self.step, steps)
        return lr, decay, half_cosine(opt.teacher_momentum, 1.0, self.step, steps)

    def adamw(self, name, gradient, lr, decay):
        p = self.student[name].detach()
        first, second, t = self.moments[name]
        t += 1
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        self.moments[name] = (first, second, t)
        if p.ndim > 1:
            p = p - lr * decay * p
        p = p - lr * (first / (1 - 0.9**t)) / (torch.sqrt(second / (1 - 0.999**t)) + 1e-8)
        self.student[name] = p.requires_grad_()

    def run_step(self, regions, per_epoch, frozen):
        cfg, crops = self.settings.loss, self.settings.crops
        generator = torch.Generator().manual_seed(derive_seed(self.settings.seed, "crops", self.step))
        grid = self.data.valid[regions].reshape(-1, 4, 4)
        sizes = [crops.global_size] * crops.global_count + [crops.local_size] * crops.local_count
        windows = [sample_windows(grid, size, crops.flip, generator) for size in sizes]
        student = self.crop_logits(self.student, regions, windows) / cfg.student_temp
        with torch.no_grad():
            teacher = self.crop_logits(self.teacher, regions, windows[: crops.global_count])
        q = torch.stack([torch.stack([plain.softmax((x - self.center) / cfg.teacher_temp) for x in row])
                         for row in teacher])  # fmt: skip
        own = plain.self_loss(q, student)
        intra, inter = self.prototype_losses(regions, student)
        loss = cfg.self_weight * own + cfg.intra_weight * intra + cfg.inter_weight * inter
        lr, decay, momentum = self.values(per_epoch)
        names = list(self.student)
        for name, gradient in zip(names, torch.autograd.grad(loss, [self.student[n] for n in names]), strict=True):
            norm = math.sqrt(sum(float(x) ** 2 for x in gradient.flatten()))
            limit = self.settings.optimiser.clip_grad
            if norm > limit:
                gradient, self.clipped = gradient * limit / (norm + 1e-6), self.clipped + 1
            if not (frozen and name == "head.last_layer"):
                self.adamw(name, gradient, lr, decay)
            self.teacher[name] = momentum * self.teacher[name] + (1 - momentum) * self.student[name].detach()
        mean = teacher.reshape(-1, teacher.shape[-1]).mean(0)
        self.center = cfg.center_momentum * self.center + (1 - cfg.center_momentum) * mean
        self.step += 1
        return [x.item() for x in (loss, own, intra, inter)]

    def run_epoch(self, epoch, batch):
        shuffle = torch.Generator().manual_seed(derive_seed(self.settings.seed, "epoch", epoch))
        order = torch.randperm(cohort.REGIONS, generator=shuffle).tolist()
        per_epoch = cohort.REGIONS // batch
        frozen = epoch < self.settings.optimiser.freeze_last_layer_epochs
        return [self.run_step(order[i * batch : (i + 1) * batch], per_epoch, frozen) for i in range(per_epoch)]


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
    slow = PlainTraining(settings, state, data, cohort.prototypes(settings), cohort.neighbours())
    targets = cohort.targets(settings)
    targets.vectors = targets.vectors.double()
    rows = Trainer(settings, data).run_epochs(state, 3, targets)
    want = [line for epoch in range(3) for line in slow.run_epoch(epoch, 4)]

    got = [[row[COLUMNS.index(name)] for name in ("loss", "loss_self", "loss_intra", "loss_inter")] for row in rows]
    np.testing.assert_allclose(got, want, rtol=1e-6)
    assert len(want) == 6
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
    trainer.run_epochs(state, 1, None)
    assert torch.equal(state.student.head.last_layer, before)
    trainer.run_epochs(state, 2, None)
    assert not torch.equal(state.student.head.last_layer, before)


def test_rounds_one_by_one_through_files_equal_one_long_run(tmp_path):
    settings = plain.tiny_run(model={"drop_path": 0.3}, optimiser={"lr": 1.0})
    data, targets = cohort.tokens(padded=True), cohort.targets(settings)
    whole = new_state(settings, cohort.DIM, cohort.CPU)
    rows = Trainer(settings, data).run_epochs(whole, 1, None)
    rows += Trainer(settings, data).run_epochs(whole, 4, targets)
    state, parts = new_state(settings, cohort.DIM, cohort.CPU), []
    for until in (1, 2, 3, 4):
        torch.manual_seed(until)  # whatever ran before must not matter
        parts += Trainer(settings, data).run_epochs(state, until, None if until == 1 else targets)
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
    rows = Trainer(settings, cohort.tokens()).run_epochs(states[0], 2, targets)
    Trainer(settings, cohort.tokens()).run_epochs(states[1], 2, None)
    table = np.array(rows)
    assert np.isfinite(table).all()
    assert not table[:, [COLUMNS.index("loss_intra"), COLUMNS.index("loss_inter")]].any()
    assert not states[0].proto_center.any()
    for name, value in states[0].student.state_dict().items():
        assert torch.equal(value, states[1].student.state_dict()[name]), name


def test_one_step_lowers_the_loss_it_was_taken_on():
    optimiser = {"lr": 0.01, "batch_size": 11, "lr_warmup_epochs": 0, "teacher_momentum": 1.0}
    settings = plain.tiny_run(optimiser=optimiser)
    state = double_state(settings)
    trainer = Trainer(settings, cohort.tokens(torch.float64))
    values = trainer.values(0)
    first = trainer._step(state, torch.arange(11), None, values, False)[0]
    state.center.zero_()  # same targets, same crops: only the student has moved
    assert trainer._step(state, torch.arange(11), None, values, False)[0] < first


def test_non_finite_loss_is_told():
    settings, data = plain.tiny_run(), cohort.tokens()
    data.tokens[:] = float("inf")
    with pytest.raises(UserError, match="non-finite in epoch 0"):
        Trainer(settings, data).run_epochs(new_state(settings, cohort.DIM, cohort.CPU), 1, None)


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
        Trainer(settings, cohort.tokens()).run_epochs(state, 2, targets)
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
            assert data.tokens[1, 3 * r + c].tolist() == tokens[1, r, c].tolist()
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
        want = plain.vit(weights, data.tokens[n][window].double(), keep, heads=2, depth=2, side=3)
        torch.testing.assert_close(features[n].double(), want, rtol=1e-3, atol=1e-4)
        logits = network.head.logits(projected[n][None])[0].double()
        torch.testing.assert_close(logits, plain.logits(weights, want), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(projected.norm(dim=1), torch.ones(cohort.REGIONS))
