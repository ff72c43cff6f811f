"""The slow engine is trusted because it meets numbers worked by hand, finite differences, and torch's optimiser.

Hand cases have three units. A student's crop with probabilities 1/2 at one unit ("its top") and 1/4 at the others has
cross-entropy (2 - Q[top]) ln 2 with a target Q. With teacher_temp = 0.2 / ln 2, softmax((l - c) / temp) of logits in
steps of 0.2 is a distribution in powers of two:
(1, 0, 0) gives (32, 1, 1) / 34 and (0.6, 0.8, 0) gives (8, 16, 1) / 25.
"""

import math

import numpy as np
import pytest
import torch

from workflow_scripts.config import Loss, Neighbours

from . import cohort, plain, plain_matching
from .hand import INTER, INTRA, SELF_CENTER, TEMPERATURE, weights
from .plain_engine import PlainPrototypeLosses, PlainTraining

LN2 = math.log(2)
TOPS = [[0, 1, 2], [1, 2, 0]]  # of crops 0, 1, 2 of regions a and b


def crops(tops: list[list[int]] = TOPS) -> torch.Tensor:
    """Student `[V, B, 3]`: log-probabilities with 1/2 at the top."""
    rows = [
        [[-LN2 if unit == top else -2 * LN2 for unit in range(3)] for top in view] for view in zip(*tops, strict=True)
    ]
    return torch.tensor(rows, dtype=torch.float64)


def test_self_loss_by_hand():
    # one region, two global crops: targets (8, 16, 1) / 25 and (32, 1, 1) / 34; pairs (0,1) (0,2) (1,0) (1,2):
    # ln 2 * [(2 - 16/25) + (2 - 1/25) + (2 - 32/34) + (2 - 1/34)] / 4
    targets = torch.stack([weights(8, 16, 1), weights(32, 1, 1)])[:, None]
    want = LN2 * ((2 - 16 / 25) + (2 - 1 / 25) + (2 - 32 / 34) + (2 - 1 / 34)) / 4
    assert plain.self_loss(targets, crops(TOPS[:1])).item() == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize(
    ("skip", "want"),
    [
        # target 0 leaves out crop 0, target 1 crop 1: ln 2 * [(2 - 64/69) + (2 - 4/69) + (2 - 32/34) + (2 - 1/34)
        #   + (2 - 16/25) + (2 - 8/25) + (2 - 16/25) + (2 - 8/25)] / 8
        (True, 1.050456279282222),
        # all crops: every target meets each unit once as a top, so ln 2 * (2 - 1/3)
        (False, 1.155245300933242),
    ],
)
def test_inter_loss_of_two_neighbours_by_hand(skip, want):
    targets = torch.stack(
        [
            torch.stack([weights(1, 64, 4), weights(8, 1, 16)]),
            torch.stack([weights(32, 1, 1), weights(8, 16, 1)]),
        ]
    )
    got = plain.prototype_loss(targets, torch.ones(2, 2, dtype=torch.bool), crops(), skip)
    assert got.item() == pytest.approx(want, rel=1e-12)


# Golden: official arithmetic, two regions, one neighbour each, crop 0 left out, centres from 0, momentum 1/2.
# Own prototypes a (1, 0, 0), b (.6, .8, 0); neighbours' a (0, 1, 0), b (.8, 0, .6).
# L_intra: targets a (32, 1, 1)/34, b (8, 16, 1)/25; tops of crops 1, 2: a 1, 2; b 2, 0:
#   ln 2 * (8 - (1 + 1)/34 - (1 + 8)/25) / 4
# Centre after L_intra: (0 + mean((1, 0, 0), (.6, .8, 0))) / 2 = (.4, .2, 0).
# L_inter, shared: targets of (-.4, .8, 0) and (.4, -.2, .6): (1, 64, 4)/69 and (8, 1, 16)/25:
#   ln 2 * (8 - (64 + 4)/69 - (16 + 8)/25) / 4
# Centre after L_inter, shared: ((.4, .2, 0) + mean((0, 1, 0), (.8, 0, .6))) / 2 = (.4, .35, .15).
# L_inter, joint, separate and none, centre 0: (1, 32, 1)/34 and (16, 1, 8)/25: ln 2 * (8 - 33/34 - 24/25) / 4
# Centre, joint: mean of all four / 2 = (.3, .225, .075); separate: (.4, .2, 0) and (.2, .25, .15).
# dino, L_self's centre (.2, 0, 0): intra (16, 1, 1)/18, (4, 16, 1)/21; inter (1, 64, 2)/67, (8, 1, 8)/17.
GOLDEN = {
    "shared": (1.313717773978908, 1.049163645473633, [0.4, 0.35, 0.15]),
    "joint": (1.313717773978908, 1.051748913090811, [0.3, 0.225, 0.075]),
    "separate": (1.313717773978908, 1.051748913090811, [[0.4, 0.2, 0.0], [0.2, 0.25, 0.15]]),
    "none": (1.313717773978908, 1.051748913090811, [0.0, 0.0, 0.0]),
    "dino": (1.3257815120233873, 1.0525004818072217, [0.0, 0.0, 0.0]),
}


@pytest.mark.parametrize("mode", GOLDEN)
def test_golden_intra_and_inter_loss_and_centres_of_two_regions(mode):
    settings = Loss(teacher_temp=TEMPERATURE, center_momentum=0.5, proto_center=mode, skip_same_index=True)
    part = PlainPrototypeLosses(settings, 3)
    rows = [[torch.tensor(x, dtype=torch.float64) for x in pair] for pair in zip(INTRA, INTER, strict=True)]
    intra, inter = part.losses(rows, crops(), torch.tensor(SELF_CENTER, dtype=torch.float64))
    want = GOLDEN[mode]
    assert (intra.item(), inter.item()) == pytest.approx(want[:2], rel=1e-12)
    np.testing.assert_allclose(part.stored().numpy(), want[2], atol=1e-15)


@pytest.mark.parametrize("mode", GOLDEN)
def test_regions_without_targets_count_nowhere(mode):
    settings = Loss(teacher_temp=TEMPERATURE, center_momentum=0.5, proto_center=mode, skip_same_index=True)
    part = PlainPrototypeLosses(settings, 3)
    rows = [[torch.tensor(x, dtype=torch.float64) for x in pair] for pair in zip(INTRA, INTER, strict=True)]
    intra, inter = part.losses(
        [*rows, [None, None]], crops([*TOPS, [2, 0, 1]]), torch.tensor(SELF_CENTER, dtype=torch.float64)
    )
    assert (intra.item(), inter.item()) == pytest.approx(GOLDEN[mode][:2], rel=1e-12)
    before = part.stored()
    again = part.losses([[None, None]] * 2, crops(), before)
    assert [x.item() for x in again] == [0, 0]
    assert torch.equal(part.stored(), before)


def test_weight_zero_keeps_a_loss_out_of_the_shared_centre():
    rows = [[torch.tensor(x, dtype=torch.float64) for x in pair] for pair in zip(INTRA, INTER, strict=True)]
    centres = []
    for intra, inter in ((1.0, 0.0), (0.0, 1.0)):
        settings = Loss(center_momentum=0.5, proto_center="shared", intra_weight=intra, inter_weight=inter)
        part = PlainPrototypeLosses(settings, 3)
        part.losses(rows, crops(), torch.zeros(3))
        centres.append(part.stored().tolist())
    np.testing.assert_allclose(centres, [[0.4, 0.2, 0.0], [0.2, 0.25, 0.15]], atol=1e-15)


@pytest.mark.parametrize("official", [False, True])
def test_slow_gradients_equal_finite_differences(official):
    settings = plain.official_run() if official else plain.tiny_run()
    slow = PlainTraining(
        settings, cohort.double_state(settings), cohort.arrays(), cohort.prototypes(settings), cohort.neighbours()
    )
    windows = [
        torch.tensor([[[0, 1], [4, 5]], [[6, 5], [10, 9]]]),
        torch.tensor([[[2, 3], [6, 7]], [[8, 9], [12, 13]]]),
    ]

    def total() -> torch.Tensor:
        slow.center, slow.proto = torch.zeros(6, dtype=torch.float64), PlainPrototypeLosses(settings.loss, 6)
        return slow.losses([0, 3], windows, rounds=True)[0]

    gradients = torch.autograd.grad(total(), list(slow.student.values()))
    for (name, value), gradient in list(zip(slow.student.items(), gradients, strict=True))[::4]:
        place = gradient.abs().argmax()
        with torch.no_grad():
            flat, sides = value.view(-1), []
            for side in (1e-5, -2e-5):
                flat[place] += side
                sides.append(total().item())
            flat[place] += 1e-5
        assert (sides[0] - sides[1]) / 2e-5 == pytest.approx(gradient.flatten()[place].item(), rel=1e-5, abs=1e-9), name


def test_adamw_equals_torchs():
    generator = torch.Generator().manual_seed(0)
    p = torch.randn(3, 4, dtype=torch.float64, generator=generator)
    parameter, moments = torch.nn.Parameter(p.clone()), (0.0, 0.0, 0)
    optimiser = torch.optim.AdamW([parameter])
    for lr, decay in ((0.1, 0.0), (0.3, 0.2), (0.05, 0.4), (0.0, 0.1)):
        gradient = torch.randn(3, 4, dtype=torch.float64, generator=generator)
        p, moments = plain.adamw(p, moments, gradient, lr, decay)
        optimiser.param_groups[0].update(lr=lr, weight_decay=decay)
        parameter.grad = gradient
        optimiser.step()
        torch.testing.assert_close(p, parameter.data, rtol=1e-12, atol=1e-14)


def test_clip_by_hand():
    gradient = torch.tensor([[3.0, 0.0], [0.0, 4.0]], dtype=torch.float64)  # norm 5
    assert plain.clip(gradient, 0) == (gradient, False)
    assert plain.clip(gradient, 5.1) == (gradient, False)
    scaled, clipped = plain.clip(gradient, 1.0)
    assert clipped
    assert scaled.flatten().tolist() == pytest.approx([0.6, 0, 0, 0.8], rel=1e-6)


def test_learning_rate_by_hand():
    # two epochs of warm-up of two steps: 0, 1/3, 2/3, 1 of the peak; then cos(pi k / 4) from the peak to the end
    got = [plain.learning_rate(0.9, 0.1, step, 4, 8) for step in range(8)]
    root = math.sqrt(0.5)
    assert got == pytest.approx([0, 0.3, 0.6, 0.9, 0.9, 0.5 + 0.4 * root, 0.5, 0.5 - 0.4 * root], rel=1e-12)
    assert [plain.half_cosine(0.996, 1.0, step, 2) for step in (0, 1, 2)] == pytest.approx([0.996, 0.998, 1.0])


def test_neighbours_by_hand():
    # in the plane: slide 0 has prototypes at 0 and 90 degrees, 1 at 80 and 20, 2 at 60 and 50, 3 none, 4 is 0 again.
    # S(0, 1): 0-20 and 90-80: cos 20 + cos 10 = 1.925 (else cos 80 + cos 70 = .516)
    # S(0, 2): 0-50 and 90-60: cos 50 + cos 30 = 1.509 (else cos 60 + cos 40 = 1.266); S(0, 4) = 2
    degrees = np.radians([[0, 90], [80, 20], [60, 50], [0, 0], [0, 90]])
    vectors = np.stack([np.cos(degrees), np.sin(degrees)], axis=2)
    valid = np.array([True, True, True, False, True])
    found = plain_matching.nearest_slides(vectors, valid, Neighbours(count=4))
    assert found.index[0].tolist() == [4, 1, 2, -1]
    assert found.similarity[0].tolist() == pytest.approx([2, 1.9245004, 1.5088130, 0], abs=1e-6)
    assert found.matching[0].tolist() == [[0, 1], [1, 0], [1, 0], [-1, -1]]
    assert found.index[3].tolist() == [-1] * 4
    argmax = plain_matching.nearest_slides(vectors, valid, Neighbours(count=4, matching="argmax"))
    assert argmax.index.tolist() == found.index.tolist()
    # of slide 2 to slide 0, 60 and 50 degrees are both nearer to 90 than to 0; one to one, 50 takes 0
    place = argmax.index[2].tolist().index(0)
    assert argmax.matching[2, place].tolist() == [1, 1]
    assert found.matching[2, place].tolist() == [1, 0]
    own = plain_matching.nearest_slides(vectors, valid, Neighbours(count=1, exclude_same_patient=True), list("abcda"))
    assert own.index[:, 0].tolist() == [1, 0, 1, -1, 1]
