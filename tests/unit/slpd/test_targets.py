"""Targets of a batch, against loops."""

import pytest
import torch

from workflow_scripts.slpd.state import new_state
from workflow_scripts.slpd.targets import batch_targets, target_rows

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
