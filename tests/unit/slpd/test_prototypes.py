import os
import subprocess
import sys
from pathlib import Path

import faiss
import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from workflow_scripts.config import Prototypes
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.seeds import derive_seed
from workflow_scripts.slpd.prototypes import COHORT, RegionKMeans, cluster_cohort, cluster_slides, owners

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
    one = cluster_slides(features, ["a"], np.array([90]), settings, seed)
    vectors, assignment = one.vectors[0], one.assignment
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
    assignment = RegionKMeans(4, 8, settings, 10)(features, seed).assignment
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


def cosine_sum(features: np.ndarray, assignment: np.ndarray) -> float:
    """Sum over clusters of the length of the sum of their unit features: the sum of cosines to the best centroids."""
    x = features.astype(np.float64)
    return sum(np.linalg.norm(x[assignment == k].sum(axis=0)) for k in np.unique(assignment))


def plain_spherical(features: np.ndarray, count: int, iterations: int, restarts: int, seed: int) -> float:
    """Spherical k-means in plain loops; the largest sum of cosines of some restarts."""
    rng, x, best = np.random.default_rng(seed), features.astype(np.float64), -np.inf
    for _ in range(restarts):
        centroids = x[rng.choice(len(x), count, replace=False)]
        for _ in range(iterations):
            nearest = np.array([max(range(count), key=lambda k: row @ centroids[k]) for row in x])
            for k in range(count):
                if (nearest == k).any():
                    total = x[nearest == k].sum(axis=0)
                    centroids[k] = total / np.sqrt((total**2).sum())
        best = max(best, sum(max(row @ c for c in centroids) for row in x))
    return best


@pytest.mark.parametrize("seed", range(3))
def test_spherical_k_means_has_the_objective_of_plain_loops(seed):
    features = unit(np.random.default_rng(seed).standard_normal((80, 6)) + 0.5)
    settings = Prototypes(count=3, min_regions=3, iterations=20, restarts=20, kmeans="spherical")
    kmeans = RegionKMeans(3, 6, settings, 20)
    found = kmeans(features, seed)
    reference = plain_spherical(features, 3, 20, 10, seed)
    np.testing.assert_allclose(np.linalg.norm(found.centroids, axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(found.assignment, (features @ found.centroids.T).argmax(axis=1))
    assert cosine_sum(features, found.assignment) >= 0.999 * reference
    assert kmeans.objective() == pytest.approx(cosine_sum(features, found.assignment), rel=1e-3)


def test_spherical_and_euclidean_differ_where_regions_are_spread_unevenly():
    """A tight and a wide group: the short mean of the wide one repels in Euclidean distance, not in angle."""
    rng = np.random.default_rng(3)
    wide = rng.standard_normal((150, 4)) + np.array([1.2, 0, 0, 0])
    tight = 0.05 * rng.standard_normal((30, 4)) + np.array([0, 1, 0, 0])
    features = unit(np.concatenate([wide, tight]))
    found = {}
    for kind in ("euclidean", "spherical"):
        settings = Prototypes(count=2, min_regions=2, iterations=50, restarts=30, kmeans=kind)
        found[kind] = RegionKMeans(2, 4, settings, 30)(features, 0).assignment
    assert adjusted_rand_score(found["euclidean"], found["spherical"]) < 1
    assert cosine_sum(features, found["spherical"]) >= cosine_sum(features, found["euclidean"])
    assert objective(features, found["euclidean"]) <= objective(features, found["spherical"])


@pytest.mark.parametrize("kind", ["euclidean", "spherical"])
def test_same_bits_as_faiss_called_plainly(kind):
    counts = np.array([40, 33])
    features = unit(np.random.default_rng(0).standard_normal((73, 12)))
    settings = Prototypes(count=4, min_regions=8, kmeans=kind)
    found = cluster_slides(features, ["a", "b"], counts, settings, seed=5)
    for i, part in enumerate((features[:40], features[40:])):
        reference = faiss.Kmeans(
            12, 4, niter=10, nredo=5, seed=derive_seed(5, "k-means", "ab"[i]) % 2**31, spherical=kind == "spherical",
            min_points_per_centroid=1, max_points_per_centroid=1000,
        )  # fmt: skip
        reference.train(part)
        expected = reference.index.search(part, 1)[1][:, 0]
        np.testing.assert_array_equal(found.assignment[40 * i : 40 + 33 * i], expected)
        np.testing.assert_allclose(found.vectors[i], unit(reference.centroids), rtol=0, atol=1e-7)


def backbone_cohort(counts: list[int]) -> np.ndarray:
    """Features whose lengths differ and tell nothing of the blob."""
    features = cohort(counts)
    lengths = np.random.default_rng(1).uniform(2, 9, len(features))
    return (features * lengths[:, None]).astype(np.float32)


def test_backbone_prototypes_are_means_of_raw_features_clustered_by_direction():
    counts = np.array([30, 4, 24])
    features = backbone_cohort(counts.tolist())
    settings = SETTINGS.model_copy(update={"features": "backbone"})
    found = cluster_slides(features, list("abc"), counts, settings, seed=1)
    by_direction = cluster_slides(unit(features), list("abc"), counts, SETTINGS, seed=1)
    np.testing.assert_array_equal(found.assignment, by_direction.assignment)
    slide = np.repeat(np.arange(3), counts)
    assert not found.vectors[1].any()
    for i in (0, 2):
        for k in range(3):
            own = features[(slide == i) & (found.assignment == k)]
            np.testing.assert_allclose(found.vectors[i, k], own.mean(axis=0), rtol=1e-5, atol=1e-6)
    assert (np.linalg.norm(found.vectors[0], axis=1) > 2).all()
    for n in np.flatnonzero(found.assignment >= 0):
        own = found.vectors[slide[n], found.assignment[n]]
        cosine = features[n] @ own / np.linalg.norm(features[n]) / np.linalg.norm(own)
        assert found.similarity[n] == pytest.approx(cosine, abs=1e-6)


def test_a_backbone_prototype_without_regions_has_the_length_of_the_others():
    features = np.tile(np.array([[3.0, 4.0, 0.0]], dtype=np.float32), (8, 1))
    settings = Prototypes(count=2, min_regions=2, features="backbone")
    found = cluster_slides(features, ["a"], np.array([8]), settings, seed=0)
    np.testing.assert_allclose(np.linalg.norm(found.vectors[0], axis=1), 5, rtol=1e-3)


@pytest.mark.parametrize("threads", [1, 3])
def test_prototypes_of_the_cohort_are_near_scikit_learns(threads):
    counts = np.array([90, 5, 70, 60])
    features = unit(np.random.default_rng(2).standard_normal((225, 8)))
    settings = Prototypes(count=3, min_regions=6, level="global", global_count=7, iterations=25, restarts=10)
    found = cluster_cohort(features, list("abcd"), counts, settings, seed=4, threads=threads)
    taken = np.repeat(counts >= 6, counts)
    reference = KMeans(7, n_init=10, max_iter=25, random_state=0).fit(features[taken])
    assert found.vectors.shape == (1, 7, 8) and found.valid.tolist() == [True]
    assert (found.assignment[~taken] == -1).all() and (found.assignment[taken] >= 0).all()
    assert objective(features[taken], found.assignment[taken]) <= 1.02 * reference.inertia_
    for n in np.flatnonzero(taken):
        assert found.similarity[n] == pytest.approx(features[n] @ found.vectors[0, found.assignment[n]], abs=1e-6)


def test_the_cohorts_restarts_keep_the_best():
    counts = np.array([120])
    features = unit(np.random.default_rng(3).standard_normal((120, 8)))
    for kind, better in (("euclidean", min), ("spherical", max)):
        settings = Prototypes(level="global", global_count=6, restarts=6, iterations=4, kmeans=kind)
        seeds = [derive_seed(9, "k-means", COHORT, r) for r in range(6)]
        kmeans, each = RegionKMeans(6, 8, settings, 1), []
        for restart_seed in seeds:
            assignment = kmeans(features, restart_seed).assignment
            each.append((kmeans.objective(), assignment))
        assert len({value for value, _ in each}) > 1
        best = better(each, key=lambda one: one[0])
        found = cluster_cohort(features, ["a"], counts, settings, seed=9)
        np.testing.assert_array_equal(found.assignment, best[1])


def test_fewer_regions_than_prototypes_of_the_cohort_is_refused():
    settings = Prototypes(count=3, min_regions=6, level="global", global_count=21)
    features = cohort([20, 5])
    with pytest.raises(UserError, match=r"20 regions of slides .* are too few for 21 prototypes; lower"):
        cluster_cohort(features, ["a", "b"], np.array([20, 5]), settings, seed=0)
    settings = settings.model_copy(update={"global_count": 20})  # each region its own
    found = cluster_cohort(features, ["a", "b"], np.array([20, 5]), settings, seed=0)
    assert sorted(found.assignment[:20]) == list(range(20))


@pytest.mark.parametrize("kind", ["euclidean", "spherical"])
@pytest.mark.parametrize("source", ["bottleneck", "backbone"])
@pytest.mark.parametrize("cluster", [cluster_slides, cluster_cohort])
def test_same_bits_whatever_the_number_of_threads(cluster, source, kind):
    counts = np.random.default_rng(0).integers(8, 60, 50)
    features = backbone_cohort(counts.tolist())
    features = features if source == "backbone" else unit(features)
    settings = Prototypes(count=4, min_regions=10, global_count=9, features=source, kmeans=kind)
    names = [str(i) for i in range(50)]
    results = [cluster(features, names, counts, settings, seed=3, threads=t) for t in (1, 2, 5)]
    for other in results[1:]:
        for name in ("vectors", "valid", "assignment", "similarity"):
            assert getattr(results[0], name).tobytes() == getattr(other, name).tobytes(), name


def test_owners():
    index = np.array([0, 0, 1])
    assert owners("slide", ["a", "b"], index) == (["a", "b"], index)
    ids, owner = owners("global", ["a", "b"], index)
    assert ids == [COHORT] and owner.tolist() == [0, 0, 0]


COUNT_THREADS = """
import os, threading, time
import numpy as np
from workflow_scripts.config import Prototypes
from workflow_scripts.slpd.prototypes import cluster_cohort, cluster_slides

def tasks():
    return len(os.listdir("/proc/self/task"))

features = np.random.default_rng(0).standard_normal((20000, 64)).astype(np.float32)
counts, names = np.full(100, 200), [str(i) for i in range(100)]
seen, stop = [], threading.Event()
def watch():
    while not stop.is_set():
        seen.append(tasks())
        time.sleep(0.001)
watcher = threading.Thread(target=watch)
watcher.start()
before = tasks()
for cluster in (cluster_slides, cluster_cohort):
    cluster(features, names, counts, Prototypes(global_count=64), seed=0, threads=2)
    for _ in range(1000):  # a thread that was joined takes a moment to end
        time.sleep(0.001 * (tasks() > before))
stop.set()
watcher.join()
print(max(seen) - before)
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="counts threads by /proc")
def test_no_more_threads_than_asked_for():
    root = Path(__file__).resolve().parents[3]
    environment = {**os.environ, "OMP_NUM_THREADS": "4", "OPENBLAS_NUM_THREADS": "4", "PYTHONPATH": str(root)}
    done = subprocess.run([sys.executable, "-c", COUNT_THREADS], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == 2
