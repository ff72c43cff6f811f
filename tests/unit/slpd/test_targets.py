"""Targets of a batch and the centres of prototypes' logits, against loops."""

import numpy as np
import pytest
import torch

from workflow_scripts.slpd.state import new_state
from workflow_scripts.slpd.targets import batch_targets, moved, prototype_centers

from . import cohort, plain


def batch(settings, rows, raw=False):
    head = new_state(settings, cohort.DIM, cohort.CPU).teacher.head
    return batch_targets(cohort.targets(settings), torch.tensor(rows), head, settings.loss, raw), head


def test_batch_targets_are_the_regions_own_rows():
    settings = plain.tiny_run()
    targets, rows = cohort.targets(settings), [10, 0, 7, 4]
    found, _ = batch(settings, rows)
    for b, n in enumerate(rows):
        for t, place in enumerate(targets.index[:, n].tolist()):
            assert found.present[t, b] == (place >= 0)
            if place >= 0:
                assert torch.equal(found.z[t, b], targets.vectors[place])
    assert found.counts == (int(found.present[0].sum()), int(found.present[1:].sum()))
    assert found.n_inter == sum(bool(found.present[1:, b].any()) for b in range(4))
    assert (found.n_intra, found.n_inter) == (3, 2)


@pytest.mark.parametrize(("weight", "rows"), [("intra_weight", slice(0, 1)), ("inter_weight", slice(1, None))])
def test_a_loss_of_weight_zero_has_no_targets(weight, rows):
    found, _ = batch(plain.tiny_run(loss={weight: 0.0}), [0, 1, 2, 3])
    assert not found.present[rows].any()
    assert found.present.any()


def test_backbone_prototypes_pass_the_head():
    settings = plain.tiny_run(head={"bottleneck": 8}, prototypes={"features": "backbone"})  # as wide as the backbone
    found, head = batch(settings, [0, 4, 9], raw=True)
    own = cohort.targets(settings)
    for b, n in enumerate([0, 4, 9]):
        torch.testing.assert_close(found.z[0, b], head.project(own.vectors[own.index[0, n]][None])[0])


@pytest.mark.parametrize("kind", ["joint", "shared", "separate", "dino", "none"])
def test_centres_equal_means_over_present_logits(kind):
    settings = plain.tiny_run(loss={"proto_center": kind, "center_momentum": 0.7})
    found, head = batch(settings, [0, 4, 7, 9, 10])
    directions = head.directions().detach()
    generator = torch.Generator().manual_seed(0)
    center, own = torch.randn(2, 6, generator=generator), torch.randn(6, generator=generator)
    center = center if kind == "separate" else center[0]
    intra, inter, new = prototype_centers(found, directions, center, own, settings.loss)

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


def test_a_centre_without_anything_to_average_stays():
    center = torch.arange(3.0)
    assert torch.equal(moved(center, torch.full((3,), 9.0), 0.9, 0), center)
    assert moved(center, torch.full((3,), 9.0), 0.9, 1).tolist() == pytest.approx([0.9, 1.8, 2.7])
