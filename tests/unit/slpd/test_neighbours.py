from itertools import permutations

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from workflow_scripts.config import Neighbours
from workflow_scripts.slpd.neighbours import count_same_patient, find_neighbours

SMALL = 20_000  # bytes of scratch: many tiles, and candidates are solved on the way


def prototypes(s: int, m: int, seed: int = 0, d: int = 8) -> np.ndarray:
    x = np.random.default_rng(seed).standard_normal((s, m, d))
    return (x / np.linalg.norm(x, axis=2, keepdims=True)).astype(np.float32)


def clustered(s: int, m: int, seed: int = 0, d: int = 8, spread: float = 1e-3) -> np.ndarray:
    """Slides around three centres, so close that many similarities differ by less than 1e-5."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((3, m, d))
    x = centres[rng.integers(3, size=s)] + spread * rng.standard_normal((s, m, d))
    return np.stack([rng.permutation(slide) for slide in x]).astype(np.float32)


def by_permutations(cosines: np.ndarray) -> tuple[float, list[int]]:
    m = len(cosines)
    orders = [(sum(float(cosines[k, o[k]]) for k in range(m)), list(o)) for o in permutations(range(m))]
    return max(orders)


def by_assignment(cosines: np.ndarray) -> tuple[float, list[int]]:
    rows, columns = linear_sum_assignment(-cosines.astype(np.float64))
    return float(cosines.astype(np.float64)[rows, columns].sum()), columns.tolist()


def check(vectors, valid, found, best, owner=None):
    """Every slide's neighbours are the best of all allowed slides, compared one pair after another in float64."""
    s, count = found.index.shape
    x = vectors.astype(np.float64)
    x = (x / np.maximum(np.linalg.norm(x, axis=2, keepdims=True), 1e-300)).astype(np.float32).astype(np.float64)
    owner = np.arange(s) if owner is None else owner
    for i in range(s):
        others = [j for j in range(s) if valid[i] and valid[j] and owner[j] != owner[i]]
        pairs = {j: best(x[i] @ x[j].T) for j in others}
        ranked = sorted(others, key=lambda j: (-round(pairs[j][0], 10), j))[:count]
        assert found.index[i].tolist() == ranked + [-1] * (count - len(ranked))
        for rank, j in enumerate(ranked):
            assert found.similarity[i, rank] == pytest.approx(pairs[j][0], abs=1e-5)
            columns = found.matching[i, rank].tolist()
            assert sorted(columns) == list(range(len(columns)))
            assert (x[i] * x[j, columns]).sum() == pytest.approx(pairs[j][0], abs=1e-9)
        assert not found.similarity[i, len(ranked) :].any()
        assert (found.matching[i, len(ranked) :] == -1).all()


@pytest.mark.parametrize("data", [prototypes, clustered])
@pytest.mark.parametrize("m", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("memory", [1, SMALL, 2**30])
def test_neighbours_equal_all_permutations_of_all_pairs(m, data, memory):
    vectors = data(25 if m < 5 else 12, m, seed=m)
    valid = np.ones(len(vectors), dtype=bool)
    valid[[3, len(vectors) - 1]] = False
    check(vectors, valid, find_neighbours(vectors, valid, Neighbours(count=3), memory=memory), by_permutations)


@pytest.mark.parametrize("data", [prototypes, clustered])
def test_neighbours_equal_all_permutations_for_six(data):
    vectors, valid = data(8, 6, seed=1), np.ones(8, dtype=bool)
    check(vectors, valid, find_neighbours(vectors, valid, Neighbours(count=2)), by_permutations)


@pytest.mark.parametrize("data", [prototypes, clustered])
@pytest.mark.parametrize("m", [4, 5, 6, 7, 8, 9, 11, 16])
@pytest.mark.parametrize("d", [2, 64])
@pytest.mark.parametrize("count", [1, 6])
def test_neighbours_equal_assignment_of_all_pairs(m, data, d, count):
    vectors = data(60, m, seed=m, d=d)
    valid = np.ones(60, dtype=bool)
    valid[[0, 7]] = False
    check(vectors, valid, find_neighbours(vectors, valid, Neighbours(count=count), memory=SMALL), by_assignment)


@pytest.mark.parametrize("m", [4, 8, 12])
def test_result_depends_on_neither_threads_nor_memory(m):
    vectors, valid = clustered(150, m, seed=2, d=16, spread=0.3), np.ones(150, dtype=bool)
    vectors[100:110] = vectors[20:30]
    one = find_neighbours(vectors, valid, Neighbours(count=5))
    for threads, memory in ((1, SMALL), (3, 2**30), (2, 100_000)):
        other = find_neighbours(vectors, valid, Neighbours(count=5), threads=threads, memory=memory)
        for field in ("index", "similarity", "matching"):
            np.testing.assert_array_equal(getattr(one, field), getattr(other, field))
    check(vectors, valid, one, by_assignment)


@pytest.mark.parametrize("m", [4, 10])
def test_length_of_prototypes_does_not_count(m):
    vectors, valid = prototypes(20, m), np.ones(20, dtype=bool)
    scaled = vectors * np.random.default_rng(1).uniform(1e-3, 1e3, (20, m, 1)).astype(np.float32)
    before = scaled.copy()
    found = find_neighbours(scaled, valid, Neighbours(count=3))
    np.testing.assert_array_equal(scaled, before)  # the caller's own are left as they are
    check(scaled, valid, found, by_assignment)
    np.testing.assert_array_equal(found.index, find_neighbours(vectors, valid, Neighbours(count=3)).index)


@pytest.mark.parametrize("m", [3, 9])
def test_prototypes_of_zeros_have_cosines_of_zero(m):
    vectors, valid = prototypes(12, m), np.ones(12, dtype=bool)
    vectors[4], vectors[5, 1] = 0, 0
    found = find_neighbours(vectors, valid, Neighbours(count=11))
    check(vectors, valid, found, by_assignment)
    assert not found.similarity[4].any()


@pytest.mark.parametrize("m", [2, 4, 9])
def test_negative_similarities_are_ranked_too(m):
    rng = np.random.default_rng(0)
    slides = 4  # single directions, opposed as far as four can be
    vectors = np.repeat((np.eye(slides) - 1 / slides)[:, None], m, axis=1) + 0.01 * rng.standard_normal((4, m, 4))
    vectors = vectors.astype(np.float32)
    found = find_neighbours(vectors, np.ones(4, dtype=bool), Neighbours(count=5))
    check(vectors, np.ones(4, dtype=bool), found, by_assignment)
    assert (found.similarity[:, :3] < -0.2 * m).all()
    assert (found.index[:, 3:] == -1).all()


@pytest.mark.parametrize("m", [2, 6, 9])
def test_invalid_slides_contents_do_not_count(m):
    vectors, valid = prototypes(8, m), np.ones(8, dtype=bool)
    valid[2] = False
    vectors[2] = vectors[1]  # would be everyone's match of slide 1
    found = find_neighbours(vectors, valid, Neighbours(count=7))
    for content in (0, np.nan, np.inf):
        vectors[2] = content
        again = find_neighbours(vectors, valid, Neighbours(count=7))
        np.testing.assert_array_equal(found.index, again.index)
    assert not (found.index == 2).any()
    assert (found.index[2] == -1).all()


@pytest.mark.parametrize("m", [2, 4, 6, 9])
@pytest.mark.parametrize("memory", [1, 2**30])
def test_a_slide_given_twice_is_the_others_neighbour_and_never_its_own(m, memory):
    vectors = prototypes(10, m)
    vectors[7] = vectors[2][::-1]  # the same prototypes in another order
    valid = np.ones(10, dtype=bool)
    found = find_neighbours(vectors, valid, Neighbours(count=9), memory=memory)
    for i in range(10):
        assert sorted(found.index[i].tolist()) == [j for j in range(10) if j != i]
    assert (found.index[2, 0], found.index[7, 0]) == (7, 2)
    assert found.similarity[2, 0] == pytest.approx(m, abs=1e-5)
    assert found.matching[2, 0].tolist() == list(range(m))[::-1]


@pytest.mark.parametrize("m", [3, 5, 8, 9])
@pytest.mark.parametrize("memory", [1, SMALL, 2**30])
def test_ties_go_to_the_smaller_index(m, memory):
    vectors = prototypes(40, m, d=64)
    copies = [1, 4, 6, 30, 39]
    for place, copy in enumerate(copies):  # the same slide with its prototypes in different orders and lengths
        vectors[copy] = np.roll(vectors[1], place, axis=0) * 2.0**place
    found = find_neighbours(vectors, np.ones(40, dtype=bool), Neighbours(count=3), memory=memory)
    for copy in copies:
        assert found.index[copy].tolist() == [other for other in copies if other != copy][:3]
    others = [i for i in range(40) if i not in copies]
    for row in found.index[others]:  # whoever is near to one is near to all, the first ones first
        near = [j for j in row.tolist() if j in copies]
        assert near == copies[: len(near)]


@pytest.mark.parametrize("m", [4, 9])
def test_slides_all_alike_rank_by_index(m):
    vectors = np.repeat(prototypes(1, m), 30, axis=0)
    found = find_neighbours(vectors, np.ones(30, dtype=bool), Neighbours(count=4), memory=SMALL)
    for i in range(30):
        assert found.index[i].tolist() == [j for j in range(30) if j != i][:4]


@pytest.mark.parametrize("m", [2, 6, 9])
@pytest.mark.parametrize("n_valid", [0, 1, 2, 3])
def test_fewer_valid_slides_than_wanted(m, n_valid):
    vectors, valid = prototypes(5, m), np.zeros(5, dtype=bool)
    valid[[4, 1, 2][:n_valid]] = True
    found = find_neighbours(vectors, valid, Neighbours(count=3), threads=2)
    check(vectors, valid, found, by_permutations if m == 2 else by_assignment)
    assert (found.index >= 0).sum() == n_valid * max(0, n_valid - 1)


@pytest.mark.parametrize(("slides", "m"), [(0, 4), (1, 4), (1, 64)])
def test_no_slide_or_one_has_no_neighbours(slides, m):
    found = find_neighbours(prototypes(slides, m), np.ones(slides, dtype=bool), Neighbours(count=2), ["p"] * slides)
    assert found.index.shape == found.similarity.shape == (slides, 2)
    assert found.matching.shape == (slides, 2, m)
    assert (found.index == -1).all()
    assert (found.matching == -1).all()


@pytest.mark.parametrize("m", [3, 6, 9])
@pytest.mark.parametrize("memory", [1, 2**30])
def test_patients_are_left_out_on_wish(m, memory):
    vectors, valid = prototypes(12, m), np.ones(12, dtype=bool)
    patients = [f"p{i // 3}" for i in range(12)]
    best = by_permutations if m == 3 else by_assignment
    for count in (2, 11):
        apart = Neighbours(count=count, exclude_same_patient=True)
        found = find_neighbours(vectors, valid, apart, patients, memory=memory)
        check(vectors, valid, found, best, np.arange(12) // 3)
        assert count_same_patient(found.index, patients) == 0
    check(vectors, valid, find_neighbours(vectors, valid, Neighbours(count=2), patients), best)


def test_neighbours_of_the_same_patient_are_counted():
    index = np.array([[1, 2], [3, 0], [-1, -1], [4, -1], [3, 2]])
    assert count_same_patient(index, ["a", "a", "b", "c", "c"]) == 4
    assert count_same_patient(index, ["a", "b", "c", "d", "e"]) == 0
    assert count_same_patient(index[:0], []) == 0


def test_slides_all_of_one_patient_have_no_neighbours():
    vectors, valid = prototypes(6, 3), np.ones(6, dtype=bool)
    found = find_neighbours(vectors, valid, Neighbours(exclude_same_patient=True), ["p"] * 6)
    assert (found.index == -1).all()


def test_excluding_patients_without_patients_is_an_error():
    vectors, valid = prototypes(6, 3), np.ones(6, dtype=bool)
    with pytest.raises(ValueError, match="needs the patients"):
        find_neighbours(vectors, valid, Neighbours(exclude_same_patient=True))
    with pytest.raises(ValueError, match="5 patients given for 6 slides"):
        find_neighbours(vectors, valid, Neighbours(), ["p"] * 5)


def test_non_finite_prototypes_are_an_error():
    vectors, valid = prototypes(6, 3), np.ones(6, dtype=bool)
    vectors[4, 1, 0] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        find_neighbours(vectors, valid, Neighbours())


@pytest.mark.parametrize("m", [4, 9])
def test_argmax_correspondence_of_the_official_code(m):
    vectors, valid = prototypes(20, m, seed=5, d=3), np.ones(20, dtype=bool)
    argmax = find_neighbours(vectors, valid, Neighbours(count=2, matching="argmax"), threads=2)
    optimal = find_neighbours(vectors, valid, Neighbours(count=2))
    np.testing.assert_array_equal(argmax.index, optimal.index)  # the choice of slides is the same
    np.testing.assert_array_equal(argmax.similarity, optimal.similarity)
    for i in range(20):
        for rank, j in enumerate(argmax.index[i]):
            for k in range(m):
                cosines = [float(vectors[i, k] @ vectors[j, q]) for q in range(m)]
                assert argmax.matching[i, rank, k] == cosines.index(max(cosines))
    assert (argmax.matching != optimal.matching).any()
    assert any(len(set(row.tolist())) < m for row in argmax.matching.reshape(-1, m))  # many to one occurs
