from itertools import permutations

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from workflow_scripts.core import matching
from workflow_scripts.core.matching import best_sums, optimal_matchings, set_similarities, sum_bounds


def cosines(pairs: int, m: int, seed: int = 0, ties: bool = False) -> np.ndarray:
    """`[pairs, m, m]`; with ties few distinct values, some of them far below 0."""
    values = np.random.default_rng(seed).uniform(-1, 1, (pairs, m, m))
    return np.round(values, 0 if ties else 16)


def by_permutations(pair: np.ndarray) -> tuple[float, list[int]]:
    orders = [(sum(pair[k, o[k]] for k in range(len(pair))), [-c for c in o]) for o in permutations(range(len(pair)))]
    total, order = max(orders)
    return total, [-c for c in order]  # the lexicographically first of equal ones


@pytest.mark.parametrize("m", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("ties", [False, True])
def test_best_sums_equal_all_permutations(m, ties):
    pairs = cosines(15, m, ties=ties)
    want = [by_permutations(pair)[0] for pair in pairs]
    np.testing.assert_allclose(best_sums(pairs.transpose(1, 2, 0)), want, atol=1e-12)


@pytest.mark.parametrize("m", [7, 8, 9, 10])
def test_best_sums_equal_assignment(m):
    pairs = cosines(40, m, seed=m)
    want = [pair[linear_sum_assignment(pair, maximize=True)].sum() for pair in pairs]
    before = pairs.copy()
    np.testing.assert_allclose(best_sums(pairs.transpose(1, 2, 0)), want, atol=1e-12)
    np.testing.assert_allclose(best_sums(pairs.transpose(2, 1, 0)), want, atol=1e-12)
    np.testing.assert_array_equal(pairs, before)


@pytest.mark.parametrize("m", [1, 2, 5, 16])
@pytest.mark.parametrize("ties", [False, True])
def test_bounds_are_above_the_sums_and_below_the_sums_of_maxima(m, ties):
    pairs = cosines(200, m, seed=m, ties=ties)
    want = np.array([pair[linear_sum_assignment(pair, maximize=True)].sum() for pair in pairs])
    bounds = sum_bounds(pairs.transpose(1, 2, 0))
    maxima = np.minimum(pairs.max(axis=2).sum(axis=1), pairs.max(axis=1).sum(axis=1))
    assert (bounds >= want - 1e-12).all()
    assert (bounds <= maxima + 1e-12).all()
    if m > 2 and not ties:
        assert (bounds < maxima - 1e-3).mean() > 0.5  # tighter, not just as good
    if m == 1:
        np.testing.assert_array_equal(bounds, want)


@pytest.mark.parametrize("m", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("ties", [False, True])
def test_optimal_matchings_equal_permutations(m, ties):
    pairs = cosines(30, m, seed=m, ties=ties)
    totals, columns = optimal_matchings(pairs)
    for pair, total, row in zip(pairs, totals, columns, strict=True):
        want, order = by_permutations(pair)
        assert total == pytest.approx(want, abs=1e-9)
        assert row.tolist() == order


@pytest.mark.parametrize("m", [6, 16])
def test_optimal_matchings_equal_assignment(m):
    pairs = cosines(30, m, seed=m)
    totals, columns = optimal_matchings(pairs)
    for pair, total, row in zip(pairs, totals, columns, strict=True):
        rows, want = linear_sum_assignment(-pair)
        assert total == pytest.approx(pair[rows, want].sum(), abs=1e-9)
        assert row.tolist() == want.tolist()


@pytest.mark.parametrize("m", [3, 7])
def test_no_pairs(m):
    totals, columns = optimal_matchings(np.empty((0, m, m)))
    assert totals.shape == (0,)
    assert columns.shape == (0, m)


@pytest.mark.parametrize("m", [1, 2, 3, 5])
def test_likeness_of_sets_is_the_best_of_all_permutations(m, monkeypatch):
    monkeypatch.setattr(matching, "_TILE_COSINES", 3 * 7 * m * m)  # several tiles, the last one smaller
    sets = np.random.default_rng(m).normal(size=(7, m, 6))
    sets[2, 0] = 0  # a prototype of zeros is like nothing
    unit = sets / np.maximum(np.linalg.norm(sets, axis=2, keepdims=True), 1e-300)
    want = [[by_permutations(one @ other.T)[0] for other in unit] for one in unit]
    np.testing.assert_allclose(set_similarities(sets), want, atol=1e-9)


@pytest.mark.parametrize("m", [4, 8, 9, 16])
def test_likeness_of_sets_is_the_optimal_assignment(m):
    sets = np.random.default_rng(m).normal(size=(12, m, 20)).astype(np.float32)
    unit = sets / np.linalg.norm(sets.astype(float), axis=2, keepdims=True)
    pairs = np.einsum("ipd,jqd->ijpq", unit, unit)
    want = [[pair[linear_sum_assignment(pair, maximize=True)].sum() for pair in row] for row in pairs]
    found = set_similarities(4 * sets)
    np.testing.assert_allclose(found, want, atol=1e-9)
    np.testing.assert_allclose(np.diag(found), m)
    np.testing.assert_allclose(set_similarities(sets[:9], sets[4:]), np.array(want)[:9, 4:], atol=1e-9)


def test_likeness_of_no_sets():
    assert set_similarities(np.empty((0, 4, 3))).shape == (0, 0)
