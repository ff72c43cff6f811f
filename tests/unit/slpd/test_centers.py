"""Centres of L_self's and of the prototypes' logits, against means over plain loops."""

import math

import numpy as np
import pytest
import torch

from workflow_scripts.slpd.centers import (
    balancing_center,
    fitted,
    moved,
    moved_self_center,
    prototype_centers,
    sharpen,
)
from workflow_scripts.slpd.state import new_state
from workflow_scripts.slpd.targets import batch_targets, target_rows

from . import cohort, plain


def test_sharpen_equals_softmax_by_hand():
    generator = torch.Generator().manual_seed(10)
    logits = torch.randn(2, 3, 5, dtype=torch.float64, generator=generator)
    center = torch.randn(5, dtype=torch.float64, generator=generator)
    got = sharpen(logits, center, 0.7)
    for t in range(2):
        for b in range(3):
            e = [math.exp((logits[t, b, c].item() - center[c].item()) / 0.7) for c in range(5)]
            assert got[t, b].tolist() == pytest.approx([x / sum(e) for x in e], abs=1e-12)


@pytest.mark.parametrize("kind", ["joint", "shared", "separate", "dino", "none"])
def test_centres_equal_means_over_present_logits(kind):
    settings = plain.tiny_run(loss={"proto_center": kind, "center_momentum": 0.7})
    head = new_state(settings, cohort.DIM, cohort.CPU).teacher.head
    targets = cohort.targets(settings)
    rows = target_rows(targets, torch.tensor([0, 4, 7, 9, 10]), settings.loss)
    found = batch_targets(targets, rows, head, raw=False)
    directions = head.directions().detach()
    generator = torch.Generator().manual_seed(0)
    center, own = torch.randn(2, 6, generator=generator), torch.randn(6, generator=generator)
    center = center if kind == "separate" else center[0]
    intra, inter, new = prototype_centers(
        found.z, found.present, (found.n_own, found.n_neighbours), directions, center, own, settings.loss
    )

    logits = (found.z @ directions.T).numpy()
    present = found.present.numpy()
    means = [logits[r][present[r]].mean(0) for r in (slice(None), slice(0, 1), slice(1, None))]

    def step(c, mean):
        return 0.7 * np.asarray(c) + 0.3 * mean

    want = {
        "joint": (center, center, step(center, means[0])),
        "shared": (center, step(center, means[1]), step(step(center, means[1]), means[2])),
        "separate": (center[0], center[1], np.stack([step(center[0], means[1]), step(center[1], means[2])])),
        "dino": (own, own, center),
        "none": (torch.zeros(6), torch.zeros(6), center),
    }[kind]
    for got, expected in zip((intra, inter, new), want, strict=True):
        np.testing.assert_allclose(got.numpy(), np.asarray(expected), rtol=1e-5, atol=1e-6)


def test_balanced_targets_are_those_of_the_published_iteration():
    generator = torch.Generator().manual_seed(7)
    z = torch.nn.functional.normalize(torch.randn(2, 6, 4, dtype=torch.float64, generator=generator), dim=-1)
    directions = torch.nn.functional.normalize(torch.randn(5, 4, dtype=torch.float64, generator=generator), dim=-1)
    present = torch.tensor([[True] * 6, [True, False, True, True, False, True]])
    z[~present] = 100.0  # what is absent may be anything
    logits = z @ directions.T
    got = sharpen(logits, balancing_center(z, present, directions, 0.3), 0.3)[present]
    want = torch.stack(plain.sinkhorn(list(logits[present]), 0.3))
    torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-12)
    shares, plainly = got.mean(dim=0), sharpen(logits, torch.zeros(5), 0.3)[present].mean(dim=0)
    assert (shares - 1 / 5).abs().max() < (plainly - 1 / 5).abs().max() / 3
    none = balancing_center(z, torch.zeros_like(present), directions, 0.3)
    assert torch.equal(none, torch.zeros(5, dtype=torch.float64))


def test_a_centre_without_anything_to_average_stays():
    center = torch.arange(3.0)
    assert torch.equal(moved(center, torch.full((3,), 9.0), 0.9, torch.tensor(0)), center)
    assert moved(center, torch.full((3,), 9.0), 0.9, torch.tensor(1)).tolist() == pytest.approx([0.9, 1.8, 2.7])


def test_the_centre_of_l_self_follows_the_mean_of_all_crops_logits():
    generator = torch.Generator().manual_seed(7)
    z, directions = torch.randn(2, 5, 4, generator=generator), torch.randn(6, 4, generator=generator)
    center = torch.randn(6, generator=generator)
    got = moved_self_center(center, directions, z.sum(dim=(0, 1)), 10, 0.8)
    logits = np.array([[(directions[c] @ z[v, b]).item() for c in range(6)] for v in range(2) for b in range(5)])
    np.testing.assert_allclose(got.numpy(), 0.8 * center.numpy() + 0.2 * logits.mean(0), rtol=1e-5, atol=1e-6)


def test_a_shared_warm_ups_centre_is_doubled_where_centres_are_separate():
    center = torch.arange(3.0)
    assert fitted(center, "separate").tolist() == [[0, 1, 2], [0, 1, 2]]
    assert fitted(fitted(center, "separate"), "separate").shape == (2, 3)
    assert fitted(center, "joint") is center
