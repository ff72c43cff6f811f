"""The fast engine against the slow one (plain_engine), for the corrected default and the published arithmetic.

All in float64 and to 1e-6 relative, over an epoch of warm-up and two epochs of distillation: losses, schedules, all
parameters of student and teacher, the optimiser's moments (so the gradients), and the centres. The slow engine is held
against numbers worked by hand in test_plain_engine.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from workflow_scripts.config import Neighbours, Pretrain, PretrainRun
from workflow_scripts.slpd.neighbours import SlideNeighbours, find_neighbours
from workflow_scripts.slpd.prototypes import SlidePrototypes, cluster_slides
from workflow_scripts.slpd.state import new_state, state_tensors
from workflow_scripts.slpd.targets import PrototypeTargets
from workflow_scripts.slpd.tokens import TokenData
from workflow_scripts.slpd.trainer import Trainer

from . import cohort, plain, plain_matching
from .both_engines import LOSSES, column, complete_neighbours, prototypes_of, run_both
from .hand import INTER, INTRA, SELF_CENTER, TEMPERATURE
from .plain_engine import PlainTraining

OPTIMISER = {"lr": 1.0, "clip_grad": 0.5, "teacher_momentum": 0.8}
WEIGHTS = {"self_weight": 0.7, "intra_weight": 1.3, "inter_weight": 0.6, "center_momentum": 0.8}
MODES = ("joint", "shared", "separate", "dino", "none", "sinkhorn")


@pytest.mark.parametrize("padded", [False, True])
def test_default(padded):
    settings = plain.tiny_run(loss=WEIGHTS, optimiser=OPTIMISER)
    slow, want, _, rows = run_both(settings, padded=padded)
    assert len(want) == 3 * (cohort.REGIONS // 4)  # the last 3 regions of an epoch are left out
    assert 0 < slow.clipped < len(want) * len(slow.student)  # some gradients were clipped, some were not
    assert all((column(rows, name)[2:] > np.zeros(4)).all() for name in LOSSES)


@pytest.mark.parametrize("count", [1, 2])
def test_official(count):
    over = {"prototypes": {"count": 3}, "neighbours": {"count": count}, "optimiser": OPTIMISER}
    settings = plain.official_run(**over, loss={"center_momentum": 0.8})
    assert (settings.loss.proto_center, settings.loss.skip_same_index) == ("shared", True)
    assert settings.neighbours.matching == "argmax"
    prototypes = prototypes_of(settings)
    found = find_neighbours(prototypes.vectors.astype(np.float32), prototypes.valid, settings.neighbours)
    index, matching = plain_matching.published_neighbours(prototypes.vectors, count)
    published = SlideNeighbours(
        np.where(prototypes.valid[:, None], index, -1),
        found.similarity,
        np.where(prototypes.valid[:, None, None], matching, -1),
    )
    np.testing.assert_array_equal(found.index, published.index)
    np.testing.assert_array_equal(found.matching, published.matching)
    optimal = plain_matching.nearest_slides(prototypes.vectors, prototypes.valid, Neighbours(count=count))
    assert (optimal.matching != published.matching).any()  # many to one occurs
    slow, _, _, rows = run_both(settings, prototypes, found, published)
    assert (np.array(column(rows, "loss_inter")) > 0).tolist() == [False] * 2 + [True] * 4
    assert 0 < slow.clipped < 6 * len(slow.student)


def test_official_preset_with_weights_and_padding():
    settings = plain.official_run(loss=WEIGHTS, optimiser=OPTIMISER)
    run_both(settings, fast_neighbours=complete_neighbours(settings), padded=True)


@pytest.mark.parametrize("mode", MODES)
def test_centre_of_prototypes(mode):
    settings = plain.tiny_run(loss=WEIGHTS | {"proto_center": mode}, optimiser=OPTIMISER)
    slow, _, state, _ = run_both(settings)
    assert state.proto_center.shape == ((2, 6) if mode == "separate" else (6,))
    assert bool(state.proto_center.any()) == (mode not in ("dino", "none", "sinkhorn"))
    assert slow.center.any()


def test_centres_differ_in_what_they_do():
    """No two modes train alike, so none of the comparisons above can pass in another's place."""
    ends = []
    for mode in MODES:
        settings = plain.tiny_run(loss=WEIGHTS | {"proto_center": mode}, optimiser=OPTIMISER)
        state, found = cohort.double_state(settings), cohort.neighbours()
        targets = PrototypeTargets(prototypes_of(settings), found, cohort.SLIDE_INDEX, cohort.CPU)
        cohort.run_epochs(Trainer(settings, cohort.tokens(torch.float64)), state, 2, targets)
        ends.append(state.student.head.fc1.weight.detach())
    for i, one in enumerate(ends):
        assert all((one - other).abs().max() > 1e-5 for other in ends[:i])


@pytest.mark.parametrize("mode", ["joint", "shared"])
def test_same_index_is_left_out_where_slides_lack_neighbours(mode):
    run_both(plain.tiny_run(loss=WEIGHTS | {"proto_center": mode, "skip_same_index": True}, optimiser=OPTIMISER))


@pytest.mark.parametrize("official", [False, True])
@pytest.mark.parametrize("weights", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0.5, 2), (2, 0, 0.3), (0.4, 1.7, 0)])
def test_any_mix_of_losses(weights, official):
    loss = dict(zip(("self_weight", "intra_weight", "inter_weight"), weights, strict=True))
    settings = (plain.official_run if official else plain.tiny_run)(loss=loss, optimiser=OPTIMISER)
    slow, want, _, _ = run_both(settings, fast_neighbours=complete_neighbours(settings), epochs=2)
    assert [line[0] == line[1] for line in want] == [True] * 2 + [weights == (1, 0, 0)] * 2
    assert slow.proto_center.any() == (weights != (1, 0, 0))


@pytest.mark.parametrize("official", [False, True])
@pytest.mark.parametrize("micro_batch", [1, 3])
def test_a_step_in_parts(micro_batch, official):
    settings = (plain.official_run if official else plain.tiny_run)(loss=WEIGHTS, optimiser=OPTIMISER)
    run_both(settings, epochs=2, padded=True, micro_batch=micro_batch)


def alike(settings: PretrainRun) -> SlideNeighbours:
    """The cohort's neighbours, with similarities that differ much."""
    return replace(cohort.neighbours(), similarity=np.array([[1.9, 0.4], [1.2, 0.0], [0.0, 0.0], [0.0, 0.0]]))


@pytest.mark.parametrize("over", [{}, {"proto_center": "separate", "skip_same_index": True}])
def test_nearer_slides_count_more(over):
    settings = plain.tiny_run(loss=WEIGHTS | over | {"neighbour_temp": 0.5}, optimiser=OPTIMISER)
    _, want, _, rows = run_both(settings, fast_neighbours=alike(settings), micro_batch=3)
    equal = plain.tiny_run(loss=WEIGHTS | over, optimiser=OPTIMISER)
    assert abs(run_both(equal, fast_neighbours=alike(equal))[1][-1][3] - want[-1][3]) > 1e-4
    assert column(rows, "entropy_inter")[-1] > 0


@pytest.mark.parametrize("features", ["bottleneck", "backbone"])
def test_a_region_distils_a_mixture_of_its_slides_prototypes(features):
    settings = plain.tiny_run(loss=WEIGHTS, optimiser=OPTIMISER, prototypes={"features": features})
    shares = np.random.default_rng(8).dirichlet([1, 1], cohort.REGIONS)
    run_both(settings, shares=shares, epochs=2, padded=True)
    hard = np.eye(2)[np.maximum(prototypes_of(settings).assignment, 0)]
    alone, _, _, rows = run_both(settings, epochs=2)
    assert run_both(settings, shares=hard, epochs=2)[3] == pytest.approx(np.array(rows), rel=1e-9)
    assert alone.step == 4


def test_balanced_targets_in_parts_and_without_neighbours():
    settings = plain.tiny_run(loss=WEIGHTS | {"proto_center": "sinkhorn", "inter_weight": 0}, optimiser=OPTIMISER)
    run_both(settings, micro_batch=3, epochs=2, padded=True)


@pytest.mark.parametrize("official", [False, True])
def test_stochastic_depth(official):
    over = {"model": {"drop_path": 0.5}, "loss": WEIGHTS, "optimiser": OPTIMISER}
    settings = (plain.official_run if official else plain.tiny_run)(**over)
    slow, *_ = run_both(settings, fast_neighbours=complete_neighbours(settings))
    scales = np.array(slow.drop_path(crops=4, batch=4))  # of the next step
    assert (scales[..., 0, :] == 1).all()
    assert set(scales[..., 1, :].flatten()) == {0.0, 2.0}


@pytest.mark.parametrize("official", [False, True])
def test_backbone_prototypes_pass_the_whole_head(official):
    over = {"prototypes": {"features": "backbone"}, "loss": WEIGHTS, "optimiser": OPTIMISER}
    settings = plain.tiny_run(**over)
    if official:  # the preset clusters the bottleneck; a run's own keys are above it
        pretrain = {"preset": "official", "defaults": plain.tiny_run(**over).model_dump()}
        runs = {"slpd": {"prototypes": {"features": "backbone"}}}
        settings = Pretrain.model_validate(pretrain | {"runs": runs}).run("slpd")
    prototypes = prototypes_of(settings)
    assert prototypes.vectors.shape == (4, 2, settings.model.dim)
    run_both(settings, prototypes)


@pytest.mark.parametrize("official", [False, True])
def test_gradients_of_one_step(official):
    """AdamW's first moment after one step from nothing is a tenth of the gradient."""
    optimiser = {"batch_size": 11, "clip_grad": 0.0, "freeze_last_layer_epochs": 0}
    settings = (plain.official_run if official else plain.tiny_run)(loss=WEIGHTS, optimiser=optimiser)
    found, state = complete_neighbours(settings), cohort.double_state(settings)
    slow = PlainTraining(settings, state, cohort.arrays(), prototypes_of(settings), found)
    cohort.run_epochs(
        Trainer(settings, cohort.tokens(torch.float64)),
        state,
        1,
        PrototypeTargets(prototypes_of(settings), found, cohort.SLIDE_INDEX, cohort.CPU),
    )
    slow.run_epoch(0, 11)
    tensors = state_tensors(state)
    for name, gradient in slow.gradients.items():
        full = name if name.startswith("head.") else f"backbone.{name}"
        got = tensors[f"optimiser.{full}.exp_avg"] * 10
        # entries far below the tensor's largest are held to its scale, where rounding sits
        scale = 1e-9 * gradient.abs().max().item()
        torch.testing.assert_close(got, gradient, rtol=1e-6, atol=scale, msg=lambda m, n=name: f"{n}: {m}")
        assert gradient.any() or name.endswith("qkv.bias")


def test_official_counts_epochs_as_published():
    """Published: prototypes count where `epoch > 20` of 100 epochs, so 21 without them and 79 with."""
    settings = Pretrain.model_validate({"preset": "official"}).run("slpd")
    with_prototypes = [epoch for epoch in range(100) if epoch > 20]
    assert settings.warmup_epochs == with_prototypes[0]
    assert settings.rounds * settings.epochs_per_round == len(with_prototypes)
    assert settings.schedule_epochs == 100
    assert (settings.recluster_every, settings.stop_agreement, settings.mask_glass) == (1, None, False)


# What is left of the golden case of test_plain_engine where all crops are alike: the student's probabilities are
# (1/2, 1/4, 1/4) everywhere, so a loss is ln 2 * (2 - mean of Q[0]) whether or not a crop is left out.
# Own targets (32, 1, 1)/34 and (8, 16, 1)/25: L_intra = ln 2 * (2 - (32/34 + 8/25) / 2)
# Neighbours' with centre 0 (1, 32, 1)/34 and (16, 1, 8)/25; shared (1, 64, 4)/69 and (8, 1, 16)/25.
# dino, centre (.2, 0, 0): (16, 1, 1)/18, (4, 16, 1)/21; (1, 64, 2)/67, (8, 1, 8)/17.
# L_self: the teacher's logits are (1, 0, 0): ln 2 * (2 - 32/34); with centre (.2, 0, 0) ln 2 * (2 - 16/18).
GOLDEN = {
    "shared": (0.733920544122295, 0.9492039037315015, 1.270368006574068, [0.4, 0.35, 0.15]),
    "joint": (0.733920544122295, 0.9492039037315015, 1.1542939224501207, [0.3, 0.225, 0.075]),
    "separate": (0.733920544122295, 0.9492039037315015, 1.1542939224501207, [[0.4, 0.2, 0], [0.2, 0.25, 0.15]]),
    "none": (0.733920544122295, 0.9492039037315015, 1.1542939224501207, [0.0, 0.0, 0.0]),
    "dino": (0.7701635339554948, 1.0122149303415076, 1.2180281667170594, [0.0, 0.0, 0.0]),
}


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("mode", GOLDEN)
def test_golden_losses_and_centres_of_two_regions(mode, skip):
    loss = {"teacher_temp": TEMPERATURE, "student_temp": 1 / math.log(2), "center_momentum": 0.5}
    head = {"hidden": 8, "bottleneck": 3, "out_dim": 3}
    settings = plain.tiny_run(loss=loss | {"proto_center": mode, "skip_same_index": skip}, head=head)
    state = new_state(settings, cohort.DIM, cohort.CPU)
    for network in (state.student.double(), state.teacher.double()):
        for parameter in network.parameters():
            parameter.data.zero_()
        network.head.fc3.bias.data[0] = 1.0  # every crop's bottleneck feature is (1, 0, 0)
        network.head.last_layer.data.copy_(torch.eye(3))
    state.proto_center = state.proto_center.double()
    state.center = torch.tensor(SELF_CENTER if mode == "dino" else [0.0] * 3, dtype=torch.float64)
    # slides a and b have the own prototypes, slides c and d the neighbours'
    vectors = np.array([[x, x] for x in INTRA + INTER])
    prototypes = SlidePrototypes(vectors, np.ones(4, dtype=bool), np.zeros(2, dtype=np.int64), np.zeros(2))
    found = SlideNeighbours(np.array([[2], [3], [0], [1]]), np.zeros((4, 1)), np.zeros((4, 1, 2), dtype=np.int64))
    data = TokenData.from_arrays(np.ones((2, 4, 4, cohort.DIM)), np.ones((2, 4, 4), dtype=bool), cohort.CPU)
    rows = cohort.run_epochs(
        Trainer(settings, data), state, 1, PrototypeTargets(prototypes, found, np.array([0, 1]), cohort.CPU)
    )
    own, intra, inter, center = GOLDEN[mode]
    assert [column(rows, name)[0] for name in LOSSES] == pytest.approx(
        [own + intra + inter, own, intra, inter], rel=1e-9
    )
    np.testing.assert_allclose(state.proto_center.numpy(), center, atol=1e-12)
    np.testing.assert_allclose(state.center.numpy(), [0.6 if mode == "dino" else 0.5, 0, 0], atol=1e-12)


def clustered(settings: PretrainRun) -> SlidePrototypes:
    features = np.random.default_rng(2).standard_normal((cohort.REGIONS, settings.head.bottleneck)).astype(np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    return cluster_slides(features, list("abcd"), cohort.COUNTS, settings.prototypes, seed=0)


@pytest.mark.parametrize("official", [False, True])
def test_slides_under_min_regions_get_self_distillation_alone(official):
    settings = (plain.official_run if official else plain.tiny_run)(optimiser=OPTIMISER)
    found = clustered(settings)
    few = cohort.COUNTS[cohort.SLIDE_INDEX] < settings.prototypes.min_regions
    prototypes = SlidePrototypes(found.vectors.astype(np.float64), found.valid, found.assignment, found.similarity)
    fast = find_neighbours(found.vectors, found.valid, settings.neighbours)
    slow = plain_matching.nearest_slides(found.vectors, found.valid, settings.neighbours)
    targets = PrototypeTargets(prototypes, fast, cohort.SLIDE_INDEX, cohort.CPU)
    assert ((targets.index < 0).all(0).numpy() == few).all()
    assert few.sum() == 2
    run_both(settings, prototypes, fast, slow, epochs=2)


@pytest.mark.parametrize("official", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_batches_without_any_valid_slide(mode, official):
    over = {"loss": {"proto_center": mode, "skip_same_index": official}, "optimiser": OPTIMISER}
    settings, states = plain.tiny_run(**over), []
    prototypes = prototypes_of(settings)
    prototypes.assignment[:] = -1
    for targets in (PrototypeTargets(prototypes, cohort.neighbours(), cohort.SLIDE_INDEX, cohort.CPU), None):
        states.append(cohort.double_state(settings))
        rows = cohort.run_epochs(Trainer(settings, cohort.tokens(torch.float64)), states[-1], 2, targets)
        assert np.isfinite(np.array(rows)).all()
        assert not np.array([column(rows, "loss_intra"), column(rows, "loss_inter")]).any()
        assert not states[-1].proto_center.any()
    tensors = [state_tensors(state) for state in states]
    for name, value in tensors[0].items():
        torch.testing.assert_close(value, tensors[1][name], rtol=1e-9, atol=1e-12, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("m", [2, 3, 4])
@pytest.mark.parametrize("matching", ["optimal", "argmax"])
@pytest.mark.parametrize("apart", [False, True])
def test_neighbours_and_matching(m, matching, apart):
    x = np.random.default_rng(m).standard_normal((14, m, 6))
    vectors = (x / np.linalg.norm(x, axis=2, keepdims=True)).astype(np.float32)
    vectors[9] = vectors[4]  # a slide scanned twice
    valid = np.ones(14, dtype=bool)
    valid[[2, 11]], vectors[[2, 11]] = False, 0
    patients = [f"p{i // 2}" for i in range(14)]
    for count in (1, 2, 13):
        settings = Neighbours(count=count, matching=matching, exclude_same_patient=apart)
        fast = find_neighbours(vectors, valid, settings, patients)
        slow = plain_matching.nearest_slides(vectors, valid, settings, patients)
        np.testing.assert_array_equal(fast.index, slow.index)
        np.testing.assert_array_equal(fast.matching, slow.matching)
        np.testing.assert_allclose(fast.similarity, slow.similarity, atol=2e-6)
        assert not (fast.index == np.arange(14)[:, None]).any()
    assert (fast.index[4, 0], fast.index[9, 0]) == (9, 4)


SIZES = {5: (4, 2), 9: (7, 3), 32: (28, 12)}


@pytest.mark.parametrize("width", [3, 17])
@pytest.mark.parametrize("official", [False, True])
def test_a_grid_of_4_and_any_width_equals_the_slow_engine(width, official):
    settings = (plain.official_run if official else plain.tiny_run)(loss=WEIGHTS, optimiser=OPTIMISER)
    run_both(settings, fast_neighbours=complete_neighbours(settings), epochs=2, padded=True, width=width)


@pytest.mark.parametrize("width", [3, 17])
@pytest.mark.parametrize("grid", SIZES)
def test_padding_of_any_grid_and_width_has_no_influence(grid, width):
    crops = {"global_size": SIZES[grid][0], "local_size": SIZES[grid][1]}
    settings = plain.tiny_run(crops=crops, optimiser={"lr": 1.0})
    found = []
    for filler in (0.0, 60.0):
        whole = cohort.arrays(True, grid, width)
        values = whole.tokens.masked_fill(~whole.valid[..., None], filler)
        data = cohort.token_data(whole._replace(tokens=values))
        state = new_state(settings, width, cohort.CPU)
        rows = cohort.run_epochs(Trainer(settings, data), state, 1, cohort.targets(settings))
        assert np.isfinite(np.array(rows)).all()
        assert all(torch.isfinite(value).all() for value in state_tensors(state).values())
        found.append((state_tensors(state), [column(rows, name) for name in LOSSES]))
    (one, losses), (other, others) = found
    assert losses == others
    for name, value in one.items():
        assert torch.equal(value, other[name]), name
