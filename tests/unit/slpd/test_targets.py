"""Targets of a batch, against loops."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cosine
from scipy.special import softmax

from workflow_scripts.slpd.soft_shares import prototype_shares
from workflow_scripts.slpd.state import new_state
from workflow_scripts.slpd.targets import PrototypeTargets, batch_targets, target_rows

from . import cohort, plain


def batch(settings, rows, raw=False):
    head = new_state(settings, cohort.DIM, cohort.CPU).teacher.head
    targets = cohort.targets(settings)
    return batch_targets(targets, target_rows(targets, torch.tensor(rows), settings.loss), head, raw), head


def test_batch_targets_are_the_regions_own_rows():
    settings = plain.tiny_run()
    targets, rows = cohort.targets(settings), [10, 0, 7, 4]
    found, _ = batch(settings, rows)
    for b, n in enumerate(rows):
        for t, place in enumerate(targets.index[:, n].tolist()):
            assert found.present[t, b] == (place >= 0)
            if place >= 0:
                assert torch.equal(found.z[t, b], targets.vectors[place])
    assert found.n_neighbours == sum(bool(found.present[1:, b].any()) for b in range(4))
    assert (found.n_own, found.n_neighbours) == (3, 2)


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


def test_weights_of_neighbours_are_by_the_mean_cosine_of_matched_prototypes():
    settings = plain.tiny_run()
    near = replace(cohort.neighbours(), similarity=np.array([[1.8, 0.6], [1.2, 0], [0, 0], [0, 0]], dtype=np.float32))
    found = PrototypeTargets(cohort.prototypes(settings), near, cohort.SLIDE_INDEX, cohort.CPU, neighbour_temp=0.25)
    assert found.weights[:, 0].tolist() == pytest.approx([1, 1, np.exp((0.3 - 0.9) / 0.25)])  # of two prototypes each
    rows = target_rows(found, torch.tensor([4, 0]), settings.loss)
    assert torch.equal(rows.weights, found.weights[:, [4, 0]])
    assert torch.equal(cohort.targets(settings).weights, torch.ones(3, cohort.REGIONS))


@pytest.mark.parametrize("features", ["bottleneck", "backbone"])
def test_shares_are_a_softmax_of_cosines(features):
    settings = plain.tiny_run(prototypes={"features": features})
    own, rng = cohort.prototypes(settings), np.random.default_rng(1)
    x = rng.standard_normal((cohort.REGIONS, own.vectors.shape[2])).astype(np.float32) * 3
    found = prototype_shares(x, own, cohort.SLIDE_INDEX, 0.2)
    for n, slide in enumerate(cohort.SLIDE_INDEX):
        if own.valid[slide]:
            cosines = [1 - cosine(x[n], vector) for vector in own.vectors[slide]]
            np.testing.assert_allclose(found[n], softmax(np.array(cosines) / 0.2), rtol=1e-4)
    np.testing.assert_allclose(found[cohort.SLIDE_INDEX == 2], 0.5)


def test_a_sharp_share_is_the_assignment():
    settings = plain.tiny_run()
    own = cohort.prototypes(settings)
    x = own.vectors[cohort.SLIDE_INDEX, np.maximum(own.assignment, 0)]
    shares = prototype_shares(x, own, cohort.SLIDE_INDEX, 1e-4)
    soft = PrototypeTargets(own, cohort.neighbours(), cohort.SLIDE_INDEX, cohort.CPU, shares=shares)
    hard, batch = cohort.targets(settings), torch.arange(cohort.REGIONS)
    one, other = (target_rows(targets, batch, settings.loss) for targets in (soft, hard))
    assert torch.equal(one.present, other.present)
    torch.testing.assert_close(soft.vectors[one.places][one.present], hard.vectors[other.places][other.present])
