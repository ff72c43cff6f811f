import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from workflow_scripts.config import Prototypes
from workflow_scripts.slpd.prototypes import cluster_slide, cluster_slides

SETTINGS = Prototypes(count=3, min_regions=6)


def unit(x: np.ndarray) -> np.ndarray:
    return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)


def blobs(seed: int, n: int = 90, m: int = 3, d: int = 16, noise: float = 0.05) -> tuple[np.ndarray, np.ndarray]:
    """Unit features around m orthogonal directions, and the true blob of each."""
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.arange(n) % m)
    return unit(np.eye(d)[truth] + noise * rng.standard_normal((n, d))), truth


def objective(features: np.ndarray, assignment: np.ndarray) -> float:
    """Sum of squared distances to the mean of one's cluster, in float64."""
    x = features.astype(np.float64)
    return sum(((x[assignment == k] - x[assignment == k].mean(0)) ** 2).sum() for k in np.unique(assignment))


@pytest.mark.parametrize("m", [2, 3])
@pytest.mark.parametrize("seed", range(4))
def test_separated_blobs_are_found_as_by_scikit_learn(seed, m):
    features, truth = blobs(seed, m=m)
    settings = Prototypes(count=m, min_regions=6, restarts=20)
    vectors, assignment = cluster_slide(features, settings, seed)
    reference = KMeans(m, n_init=20, max_iter=10, random_state=seed).fit(features)
    assert adjusted_rand_score(truth, assignment) == 1
    assert adjusted_rand_score(reference.labels_, assignment) == 1
    assert objective(features, assignment) == pytest.approx(reference.inertia_, rel=1e-4)
    for k in range(m):  # the prototype is the unit mean of its regions
        np.testing.assert_allclose(vectors[k], unit(features[assignment == k].mean(0)), atol=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_objective_is_near_scikit_learns_without_structure(seed):
    features = unit(np.random.default_rng(seed).standard_normal((120, 8)))
    settings = Prototypes(count=4, min_regions=4, restarts=10, iterations=20)
    _, assignment = cluster_slide(features, settings, seed)
    reference = KMeans(4, n_init=10, max_iter=20, random_state=seed).fit(features)
    assert objective(features, assignment) <= 1.03 * reference.inertia_


def cohort(counts: list[int]) -> np.ndarray:
    """Blobs of every slide, one after another; a slide's features depend on its place in `counts` alone."""
    return np.concatenate([blobs(10 + i, n)[0] for i, n in enumerate(counts)])


def test_fields_of_the_result():
    counts = np.array([30, 5, 6, 20])
    features = cohort(counts.tolist())
    found = cluster_slides(features, list("abcd"), counts, SETTINGS, seed=1)
    assert found.valid.tolist() == [True, False, True, True]
    np.testing.assert_allclose(np.linalg.norm(found.vectors[found.valid], axis=2), 1, atol=1e-5)
    assert not found.vectors[1].any()
    slide = np.repeat(np.arange(4), counts)
    assert (found.assignment[slide == 1] == -1).all()
    assert (found.similarity[slide == 1] == 0).all()
    for n in np.flatnonzero(slide != 1):
        assert 0 <= found.assignment[n] < 3
        cosine = float(features[n] @ found.vectors[slide[n], found.assignment[n]])
        assert found.similarity[n] == pytest.approx(cosine, abs=1e-6)


def test_threads_and_order_and_other_slides_change_nothing():
    counts = [30, 12, 25, 40]
    features = cohort(counts)
    one = cluster_slides(features, list("abcd"), np.array(counts), SETTINGS, seed=1)
    many = cluster_slides(features, list("abcd"), np.array(counts), SETTINGS, seed=1, threads=4)
    for name in ("vectors", "valid", "assignment", "similarity"):
        np.testing.assert_array_equal(getattr(one, name), getattr(many, name))
    starts = np.cumsum([0, *counts])
    swapped = np.concatenate([features[starts[3] : starts[4]], features[starts[1] : starts[2]]])
    alone = cluster_slides(swapped, ["d", "b"], np.array([40, 12]), SETTINGS, seed=1)
    np.testing.assert_array_equal(alone.vectors, one.vectors[[3, 1]])
    np.testing.assert_array_equal(alone.assignment[:40], one.assignment[starts[3] :])
    np.testing.assert_array_equal(alone.assignment[40:], one.assignment[starts[1] : starts[2]])


def test_no_slide_has_enough_regions():
    found = cluster_slides(cohort([3, 4]), ["a", "b"], np.array([3, 4]), SETTINGS, seed=1)
    assert not found.valid.any()
    assert (found.assignment == -1).all()


def test_identical_regions_give_finite_unit_prototypes():
    features = unit(np.ones((8, 4)))
    found = cluster_slides(features, ["a"], np.array([8]), SETTINGS, seed=0)
    np.testing.assert_allclose(np.linalg.norm(found.vectors[0], axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(found.similarity, 1, atol=1e-5)
