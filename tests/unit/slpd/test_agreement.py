import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from workflow_scripts.slpd.agreement import (
    adjusted_rand_indices,
    clustering_facts,
    mean_agreement,
    prototype_usage,
)
from workflow_scripts.slpd.prototypes import SlidePrototypes


def index(one, other) -> float:
    group = np.zeros(len(one), dtype=np.int64)
    return adjusted_rand_indices(group, np.array(one), np.array(other))[0]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ([0, 0, 1, 1], [0, 0, 1, 1], 1),
        ([0, 0, 1, 1], [1, 1, 0, 0], 1),  # names do not count
        ([0, 0, 1, 1], [0, 1, 0, 1], -0.5),  # index 0, expected 2 * 2 / 6, maximum 2
        ([0, 0, 1, 1], [0, 0, 1, 2], 4 / 7),  # index 1, expected 2 * 1 / 6, maximum 1.5
        ([0, 0, 0], [2, 2, 2], 1),  # all together in both
        ([0, 1, 2], [5, 3, 4], 1),  # all apart in both
        ([0, 0, 0], [0, 1, 2], 0),  # all together, all apart
        ([0, 0, 0, 0], [0, 0, 1, 1], 0),
        ([3], [0], 1),
    ],
)
def test_hand_cases(one, other, expected):
    assert index(one, other) == pytest.approx(expected, abs=1e-12)
    assert adjusted_rand_score(one, other) == pytest.approx(expected, abs=1e-12)


def test_all_together_is_exactly_one_for_a_whole_cohort():
    things = np.zeros(62_853, dtype=np.int64)
    assert index(things, things) == 1.0


def test_equals_scikit_learn_in_every_group():
    rng = np.random.default_rng(0)
    group = rng.permutation(np.repeat(np.arange(40), rng.integers(1, 60, 40)))
    one = rng.integers(0, 5, len(group))
    other = np.where(rng.random(len(group)) < 0.4, one, rng.integers(0, 7, len(group)))
    found = adjusted_rand_indices(group, one, other)
    expected = [adjusted_rand_score(one[group == g], other[group == g]) for g in range(40)]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_a_group_without_anything_has_none():
    found = adjusted_rand_indices(np.array([0, 2, 2]), np.array([0, 0, 1]), np.array([0, 0, 1]))
    np.testing.assert_array_equal(found, [1, np.nan, 1])


def test_mean_is_over_slides_with_prototypes_in_both():
    owner = np.repeat(np.arange(4), [4, 4, 3, 5])
    one = np.array([0, 0, 1, 1, 0, 1, 1, 1, -1, -1, -1, 0, 1, 0, 1, 0])
    other = np.array([0, 0, 1, 2, 1, 0, 0, 0, 0, 1, 0, -1, -1, -1, -1, -1])
    assert mean_agreement(owner, one, other) == pytest.approx((4 / 7 + 1) / 2)
    assert mean_agreement(owner, one, np.full(16, -1)) is None
    assert mean_agreement(owner[:0], one[:0], other[:0]) is None


def prototypes(assignment: list[int], slides: int, count: int) -> SlidePrototypes:
    valid = np.array([True] * (slides - 1) + [slides == 1])
    n = len(assignment)
    return SlidePrototypes(np.zeros((slides, count, 1), np.float32), valid, np.array(assignment), np.zeros(n))


def test_usage():
    owner = np.repeat(np.arange(3), [4, 4, 2])  # the third slide has no prototypes
    found = prototypes([0, 0, 0, 1, 2, 2, 0, 1, -1, -1], 3, 3)
    usage = prototype_usage(owner, found.assignment, found.valid, 3)
    assert usage == {"smallest_share": 0.0, "mean_smallest_share": pytest.approx(0.125), "empty_prototypes": 1}


def test_facts_of_a_round():
    owner = np.zeros(4, dtype=np.int64)
    first, second = prototypes([0, 0, 1, 1], 1, 3), prototypes([0, 0, 1, 2], 1, 3)
    facts = clustering_facts(owner, first, None, 0.01)
    assert (facts["agreement"], facts["converged"], facts["empty_prototypes"]) == (None, False, 1)
    for stop, converged in ((None, False), (0.5, True), (4 / 7, True), (0.6, False), (1, False)):
        facts = clustering_facts(owner, second, first, stop)
        assert facts["agreement"] == pytest.approx(4 / 7) and facts["converged"] is converged
    assert clustering_facts(owner, first, first, 1)["converged"] is True
