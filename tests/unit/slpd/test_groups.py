"""Groups of prototypes against scikit-learn and against all partitions of a few."""

from itertools import product

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from workflow_scripts.slpd.groups import agreement, group_prototypes


def _planted(seed, per=30, groups=5, noise=0.15):
    rng = np.random.default_rng(seed)
    centres = np.linalg.qr(rng.normal(size=(16, groups)))[0].T
    truth = np.repeat(np.arange(groups), per)
    vectors = centres[truth] + noise / 4 * rng.normal(size=(len(truth), 16))
    return (vectors * rng.uniform(0.5, 3, (len(truth), 1))).astype(np.float32), truth


def _unit(vectors):
    return vectors / np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)


def test_planted_groups_are_found_as_scikit_learn_finds_them():
    vectors, truth = _planted(0)
    found = group_prototypes(vectors, np.ones(len(truth), np.int64), 5, seed=0)
    reference = KMeans(5, n_init=10, random_state=0).fit_predict(_unit(vectors))  # of unit vectors: the same objective
    assert adjusted_rand_score(truth, found.group) == adjusted_rand_score(reference, found.group) == 1


def test_the_sum_of_cosines_is_the_largest_of_all_partitions():
    """For given members the best centre is the direction of their sum, so a group contributes the sum's length."""
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(9, 4)).astype(np.float32)
    unit = _unit(vectors)
    best = max(
        sum(np.linalg.norm(unit[np.array(parts) == group].sum(axis=0)) for group in range(3))
        for parts in product(range(3), repeat=9)
    )
    found = group_prototypes(vectors, np.ones(9, np.int64), 3, seed=0)
    assert found.similarity.astype(np.float64).sum() == pytest.approx(best, rel=1e-6)


def test_a_prototype_is_in_the_group_whose_centre_is_nearest_and_a_centre_is_the_mean_of_its_members():
    vectors = np.random.default_rng(1).normal(size=(200, 8)).astype(np.float32)
    found, unit = group_prototypes(vectors, np.ones(200, np.int64), 6, seed=4), _unit(vectors)
    assert np.array_equal((unit @ found.centres.T).argmax(axis=1), found.group)
    for group, centre in enumerate(found.centres):
        mean = unit[found.group == group].mean(axis=0)
        assert np.allclose(centre, mean / np.linalg.norm(mean), atol=1e-6)
    assert np.allclose(found.similarity, (unit * found.centres[found.group]).sum(axis=1), atol=1e-6)


def test_groups_are_numbered_by_their_regions_and_the_same_seed_gives_the_same_bits():
    vectors, truth = _planted(2)
    regions = np.array([5, 1, 9, 3, 7])[truth]
    one, other = (group_prototypes(vectors, regions, 5, seed=1) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    assert [int(truth[one.group == group][0]) for group in range(5)] == [2, 4, 0, 3, 1]


@pytest.mark.parametrize(("different", "groups"), [(1, 1), (3, 3)])
def test_there_are_no_more_groups_than_different_prototypes(different, groups):
    vectors = np.repeat(np.eye(4, dtype=np.float32)[:different], 5, axis=0)
    vectors *= np.linspace(1, 2, len(vectors), dtype=np.float32)[:, None]  # lengths play no part
    found = group_prototypes(vectors, np.ones(len(vectors), np.int64), 8, seed=0)
    assert len(found.centres) == groups and np.allclose(found.similarity, 1)


def test_agreement_is_that_of_the_regions_with_a_group_in_both():
    rng = np.random.default_rng(0)
    one, other = rng.integers(-1, 4, 300), rng.integers(-1, 3, 300)
    both = (one >= 0) & (other >= 0)
    index, count = agreement(one, other)
    assert index == pytest.approx(adjusted_rand_score(one[both], other[both])) and count == both.sum()
    assert agreement(np.array([-1, 0]), np.array([0, -1])) == (None, 0)
