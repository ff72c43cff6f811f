"""Measures of rankings against scikit-learn and brute force, and what they are without each patient and by chance."""

from itertools import permutations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from workflow_scripts.mil.ranking import CUTOFFS, MEASURES, by_chance, measures, without_each


def ranking(seed, m=30, patients=9, share=0.4):
    random = np.random.default_rng(seed)
    relevant = random.random(m) < share
    relevant[random.integers(m)] = True
    return relevant, random.integers(0, patients, m)


@pytest.mark.parametrize("seed", range(5))
def test_average_precision_is_that_of_scikit_learn_and_precision_the_share_in_front(seed):
    relevant, _ = ranking(seed)
    found = measures(relevant)
    assert found[0] == pytest.approx(average_precision_score(relevant, -np.arange(len(relevant))), abs=1e-12)
    for value, k in zip(found[1:], CUTOFFS, strict=True):
        assert value == sum(relevant[:k].tolist()) / k


def test_precision_of_fewer_than_k_and_a_query_without_its_like_are_not_defined():
    assert np.isnan(measures(np.array([True, False, True]))).tolist() == [False, False, True, True]
    assert np.isnan(measures(np.zeros(12, bool))).all() and np.isnan(by_chance(0, 12)).all()


@pytest.mark.parametrize(("seed", "m", "patients"), [(0, 30, 9), (1, 30, 30), (2, 11, 4), (3, 12, 2), (4, 40, 3)])
def test_without_each_patient_equals_the_measures_of_the_shorter_ranking(seed, m, patients):
    relevant, owner = ranking(seed, m, patients)
    owner[owner == 1] = 0  # a patient without slides in the ranking
    found = without_each(relevant, owner, patients)
    for patient in range(patients):
        np.testing.assert_allclose(found[:, patient], measures(relevant[owner != patient]), rtol=1e-12)


def test_without_the_only_patient_of_its_class_nothing_is_defined():
    relevant, owner = np.array([True, False, True, *[False] * 12]), np.array([3, 0, 3, *[1] * 12])
    assert np.isnan(without_each(relevant, owner, 4)).all(axis=0).tolist() == [False, False, False, True]


@pytest.mark.parametrize(("relevant", "m"), [(1, 5), (2, 6), (3, 6), (6, 6), (1, 1)])
def test_chance_is_the_mean_over_all_orders(relevant, m):
    orders = set(permutations([True] * relevant + [False] * (m - relevant)))
    expected = np.mean([measures(np.array(order)) for order in orders], axis=0)
    np.testing.assert_allclose(by_chance(relevant, m), expected, rtol=1e-12)
    assert len(expected) == len(MEASURES)
