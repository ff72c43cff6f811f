"""Retrieval against a loop over queries and scikit-learn, its ties, its jackknife and what it counts twice."""

import tracemalloc
from itertools import combinations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.preprocessing import StandardScaler

from tests.unit.mil.test_matching_knn import likeness as matched
from workflow_scripts.core.tasks import RETRIEVAL
from workflow_scripts.mil import retrieval
from workflow_scripts.mil.bags import Bags, patient_weights
from workflow_scripts.mil.ranking import MEASURES
from workflow_scripts.mil.retrieval import Cohort, cosine_likeness, counted_again, matching_likeness, retrieve


def made(n=40, patients=25, classes=3, dim=8, signal=1.0, seed=0, held_out=False):
    random = np.random.default_rng(seed)
    patient = np.sort(np.r_[np.arange(patients), random.integers(0, patients, n - patients)])
    target = patient % classes
    vectors = random.normal(size=(n, dim)) + 3
    vectors[np.arange(n), target] += signal
    names = [f"p{one}" for one in patient]
    weights = patient_weights(names)
    asks = patient >= patients // 2 if held_out else np.ones(n, bool)
    found = ~asks if held_out else asks
    vectors = vectors.astype(np.float32)
    bags = Bags(vectors, list(vectors[:, None]), target, classes, weights, names)
    return bags, Cohort([f"s{i:03d}" for i in range(n)], target, patient, weights, asks, found)


def part(bags, cohort, kept):
    """The cohort without some slides; patients keep their numbers, and vectors their standardisation."""
    arrays = (cohort.target[kept], cohort.patient[kept], cohort.weights[kept], cohort.asks[kept], cohort.found[kept])
    return Cohort([cohort.names[i] for i in np.flatnonzero(kept)], *arrays)


def likenesses(one):
    return np.array([one(query) for query in range(len(one(0)))])


def by_hand(cohort, likeness):
    """Mean over patients of the mean over their slides of average precision and precision at 1, 5, 10."""
    of_patient = {}
    for query in np.flatnonzero(cohort.asks):
        others = np.flatnonzero(cohort.found & (cohort.patient != cohort.patient[query]))
        relevant = cohort.target[others] == cohort.target[query]
        if not relevant.any():
            continue
        score = likeness[query, others]
        front = relevant[np.argsort(-score)]
        values = [average_precision_score(relevant, score), *(front[:k].mean() for k in (1, 5, 10))]
        of_patient.setdefault(cohort.patient[query], []).append(values)
    return np.mean([np.mean(values, axis=0) for values in of_patient.values()], axis=0)


def test_the_measures_have_names_in_the_order_of_the_results():
    assert tuple(RETRIEVAL) == MEASURES


@pytest.mark.parametrize("held_out", [False, True])
def test_cosine_retrieval_is_that_of_a_loop_with_scikit_learn(held_out):
    bags, cohort = made(held_out=held_out)
    scaler = StandardScaler().fit(bags.vectors[cohort.found], sample_weight=cohort.weights[cohort.found])
    expected = cosine_similarity(scaler.transform(bags.vectors))
    likeness = cosine_likeness(bags, cohort.found)
    np.testing.assert_allclose(likenesses(likeness), expected, atol=1e-6)
    found = retrieve(cohort, likeness, 0)
    np.testing.assert_allclose(found.values, by_hand(cohort, likenesses(likeness)), rtol=1e-12)
    assert (found.n_queries, found.n_alone) == (cohort.asks.sum(), 0)


def test_matching_retrieval_ranks_by_the_best_permutation():
    _, cohort = made(n=12, patients=12, classes=2)
    sets = np.random.default_rng(1).normal(size=(12, 3, 5))
    expected = np.array([[matched(one, other) for other in sets] for one in sets])
    found = retrieve(cohort, matching_likeness(sets), 0)
    np.testing.assert_allclose(found.values, by_hand(cohort, expected), rtol=1e-12)


@pytest.mark.parametrize("held_out", [False, True])
def test_without_a_patient_it_is_the_retrieval_of_the_others(held_out):
    bags, cohort = made(held_out=held_out)
    whole = likenesses(cosine_likeness(bags, cohort.found))
    found = retrieve(cohort, whole.__getitem__, 0)
    for patient in range(25):
        kept = cohort.patient != patient
        rest = by_hand(part(bags, cohort, kept), whole[np.ix_(kept, kept)])
        np.testing.assert_allclose(found.without[:, patient], rest, rtol=1e-10)


def test_vectors_that_tell_nothing_are_as_good_as_chance_in_any_order_of_rows():
    _, cohort = made(n=120, patients=120, classes=2)
    flat = np.zeros((120, 120))
    found = [retrieve(cohort, flat.__getitem__, seed) for seed in range(20)]
    mean = np.mean([one.values for one in found], axis=0)
    np.testing.assert_allclose(mean, found[0].chance, atol=0.02)
    order = np.random.default_rng(0).permutation(120)
    arrays = (getattr(cohort, name)[order] for name in ("target", "patient", "weights", "asks", "found"))
    again = retrieve(Cohort([cohort.names[i] for i in order], *arrays), flat.__getitem__, 0)
    np.testing.assert_allclose(again.values, found[0].values, rtol=1e-12)


def test_a_query_whose_class_no_other_patient_has_is_left_out_and_counted():
    bags, cohort = made()
    target = cohort.target.copy()
    target[cohort.patient == 4] = 3
    alone = Cohort(cohort.names, target, cohort.patient, cohort.weights, cohort.asks, cohort.found)
    found = retrieve(alone, cosine_likeness(bags, cohort.found), 0)
    assert found.n_alone == (cohort.patient == 4).sum() and found.n_queries + found.n_alone == 40
    assert np.isfinite(found.values).all()


def test_of_a_measure_of_pairs_half_of_the_jackknife_is_counted_again():
    """The mean over pairs of noise that is a pair's alone: its variance is known, the jackknife tells twice as much."""
    random, g = np.random.default_rng(0), 60
    noise = np.triu(random.normal(size=(g, g)), 1)
    noise += noise.T  # what the pair adds to the query's value, whichever of both asks
    pairs = counted_again(noise / (g - 1) / g, np.zeros(g, dtype=int))
    expected = sum((2 * noise[i, j] / (g - 1) / g) ** 2 for i, j in combinations(range(g), 2))
    assert pairs == pytest.approx(expected, rel=0.1)


def test_what_single_patients_do_to_all_of_a_class_is_no_effect_of_pairs():
    random = np.random.default_rng(0)
    groups = np.repeat([0, 1], 20)
    alone = random.normal(size=(2, 40))[groups] + random.normal(size=(40, 2))[:, groups]
    np.fill_diagonal(alone, 0)
    assert counted_again(alone, groups) < 0.05 * (alone**2).sum()


@pytest.mark.parametrize("block", [1, 50, 10**6])
def test_effects_of_pairs_are_those_of_loops_however_many_are_worked_on_at_a_time(monkeypatch, block):
    random, groups = np.random.default_rng(1), np.repeat([0, 1, 2], [9, 2, 12])
    effects = random.normal(size=(23, 23)).astype(np.float32)
    np.fill_diagonal(effects, 0)
    both, expected = (effects + effects.T).astype(float), 0.0
    for one, other, counted in ((0, 0, 0.5), (2, 2, 0.5), (0, 2, 1)):  # two patients are too few for a class
        pairs = [(i, j) for i in np.flatnonzero(groups == one) for j in np.flatnonzero(groups == other) if i != j]
        of_row = {i: np.mean([both[pair] for pair in pairs if pair[0] == i]) for i, _ in pairs}
        of_column = {j: np.mean([both[pair] for pair in pairs if pair[1] == j]) for _, j in pairs}
        mean = np.mean([both[pair] for pair in pairs])
        expected += counted * sum((both[i, j] - of_row[i] - of_column[j] + mean) ** 2 for i, j in pairs)
    monkeypatch.setattr(retrieval, "_BLOCK", block)
    assert counted_again(effects, groups) == pytest.approx(expected, rel=1e-12)


def test_memory_is_16_bytes_a_pair_of_patients_and_none_is_kept(monkeypatch):
    n = 500
    _, cohort = made(n=n, patients=n, classes=2)
    monkeypatch.setattr(retrieval, "_BLOCK", 2**12)
    flat = np.zeros(n)
    tracemalloc.start()
    kept = retrieve(cohort, lambda query: flat, 0)
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 19 * n**2 and held < n**2 and kept.n_queries == n
