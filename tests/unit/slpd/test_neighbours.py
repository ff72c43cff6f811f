from itertools import permutations

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from workflow_scripts.config import Neighbours
from workflow_scripts.slpd.neighbours import find_neighbours, optimal_matching


def prototypes(s: int, m: int, seed: int = 0, d: int = 8) -> np.ndarray:
    x = np.random.default_rng(seed).standard_normal((s, m, d))
    return (x / np.linalg.norm(x, axis=2, keepdims=True)).astype(np.float32)


def by_permutations(cosines: np.ndarray) -> tuple[float, list[int]]:
    m = len(cosines)
    orders = [(sum(float(cosines[k, o[k]]) for k in range(m)), list(o)) for o in permutations(range(m))]
    return max(orders)


def by_assignment(cosines: np.ndarray) -> tuple[float, list[int]]:
    rows, columns = linear_sum_assignment(-cosines.astype(np.float64))
    return float(cosines.astype(np.float64)[rows, columns].sum()), columns.tolist()


def check(vectors, valid, found, best, owner=None):
    """Every slide's neighbours are the best of all allowed slides, compared one pair after another."""
    s, count = found.index.shape
    x = vectors.astype(np.float64)
    owner = np.arange(s) if owner is None else owner
    for i in range(s):
        others = [j for j in range(s) if valid[i] and valid[j] and owner[j] != owner[i]]
        pairs = {j: best(x[i] @ x[j].T) for j in others}
        ranked = sorted(others, key=lambda j: -pairs[j][0])[:count]
        assert found.index[i].tolist() == ranked + [-1] * (count - len(ranked))
        for rank, j in enumerate(ranked):
            assert found.similarity[i, rank] == pytest.approx(pairs[j][0], abs=1e-5)
            assert found.matching[i, rank].tolist() == pairs[j][1]
        assert not found.similarity[i, len(ranked) :].any()
        assert (found.matching[i, len(ranked) :] == -1).all()


@pytest.mark.parametrize("m", [2, 3, 4])
@pytest.mark.parametrize("block", [1, 5, 64])
def test_enumeration_equals_brute_force(m, block):
    vectors = prototypes(17, m, seed=m)
    valid = np.ones(17, dtype=bool)
    valid[[3, 16]] = False
    check(vectors, valid, find_neighbours(vectors, valid, Neighbours(count=3), block=block), by_permutations)


@pytest.mark.parametrize("m", [5, 6, 8])
@pytest.mark.parametrize("d", [2, 8])
def test_bounds_equal_assignment_of_all_pairs(m, d):
    vectors = prototypes(30, m, seed=m, d=d)
    valid = np.ones(30, dtype=bool)
    valid[[0, 7]] = False
    check(vectors, valid, find_neighbours(vectors, valid, Neighbours(count=4)), by_assignment)


def test_bounds_equal_permutations_for_five():
    vectors = prototypes(9, 5, seed=3)
    valid = np.ones(9, dtype=bool)
    check(vectors, valid, find_neighbours(vectors, valid, Neighbours(count=2)), by_permutations)


@pytest.mark.parametrize("m", [2, 6])
def test_invalid_slides_contents_do_not_count(m):
    vectors, valid = prototypes(8, m), np.ones(8, dtype=bool)
    valid[2] = False
    vectors[2] = vectors[1]  # would be everyone's match of slide 1
    vectors[:, :, 0] -= 3  # all sums of cosines are far from 0
    found = find_neighbours(vectors, valid, Neighbours(count=7))
    vectors[2] = 0
    again = find_neighbours(vectors, valid, Neighbours(count=7))
    np.testing.assert_array_equal(found.index, again.index)
    assert not (found.index == 2).any()


@pytest.mark.parametrize("m", [2, 4, 6])
def test_a_slide_given_twice_is_the_others_neighbour_and_never_its_own(m):
    vectors = prototypes(10, m)
    vectors[7] = vectors[2][::-1]  # the same prototypes in another order
    valid = np.ones(10, dtype=bool)
    found = find_neighbours(vectors, valid, Neighbours(count=9))
    for i in range(10):
        assert sorted(found.index[i].tolist()) == [j for j in range(10) if j != i]
    assert (found.index[2, 0], found.index[7, 0]) == (7, 2)
    assert found.similarity[2, 0] == pytest.approx(m, abs=1e-5)
    assert found.matching[2, 0].tolist() == list(range(m))[::-1]


@pytest.mark.parametrize("m", [3, 5])
def test_ties_go_to_the_smaller_index(m):
    vectors = prototypes(8, m)
    vectors[[1, 4, 6]] = vectors[1]
    found = find_neighbours(vectors, np.ones(8, dtype=bool), Neighbours(count=2))
    assert found.index[1].tolist() == [4, 6]
    assert found.index[4].tolist() == [1, 6]
    assert found.index[6].tolist() == [1, 4]


@pytest.mark.parametrize("m", [2, 6])
@pytest.mark.parametrize("n_valid", [0, 1, 2, 3])
def test_fewer_valid_slides_than_wanted(m, n_valid):
    vectors, valid = prototypes(5, m), np.zeros(5, dtype=bool)
    valid[[4, 1, 2][:n_valid]] = True
    found = find_neighbours(vectors, valid, Neighbours(count=3))
    check(vectors, valid, found, by_permutations if m == 2 else by_assignment)
    assert (found.index >= 0).sum() == n_valid * max(0, n_valid - 1)


@pytest.mark.parametrize("m", [3, 6])
def test_patients_are_left_out_on_wish(m):
    vectors, valid = prototypes(12, m), np.ones(12, dtype=bool)
    patients = [f"p{i // 3}" for i in range(12)]
    best = by_permutations if m == 3 else by_assignment
    apart = find_neighbours(vectors, valid, Neighbours(count=2, exclude_same_patient=True), patients)
    check(vectors, valid, apart, best, np.arange(12) // 3)
    check(vectors, valid, find_neighbours(vectors, valid, Neighbours(count=2), patients), best)


def test_argmax_correspondence_of_the_official_code():
    vectors, valid = prototypes(20, 4, seed=5, d=3), np.ones(20, dtype=bool)
    argmax = find_neighbours(vectors, valid, Neighbours(count=2, matching="argmax"))
    optimal = find_neighbours(vectors, valid, Neighbours(count=2))
    np.testing.assert_array_equal(argmax.index, optimal.index)  # the choice of slides is the same
    np.testing.assert_array_equal(argmax.similarity, optimal.similarity)
    for i in range(20):
        for rank, j in enumerate(argmax.index[i]):
            for k in range(4):
                cosines = [float(vectors[i, k] @ vectors[j, q]) for q in range(4)]
                assert argmax.matching[i, rank, k] == cosines.index(max(cosines))
    assert (argmax.matching != optimal.matching).any()
    assert any(len(set(row.tolist())) < 4 for row in argmax.matching.reshape(-1, 4))  # many to one occurs


@pytest.mark.parametrize("m", [2, 4, 5])
def test_optimal_matching_equals_permutations(m):
    for seed in range(20):
        cosines = np.random.default_rng(seed).uniform(-1, 1, (m, m))
        total, columns = optimal_matching(cosines)
        want, order = by_permutations(cosines)
        assert total == pytest.approx(want, abs=1e-12)
        assert columns.tolist() == order
