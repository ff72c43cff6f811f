"""Prototypes of tissue: who forms them and with which weight, against brute force and scikit-learn."""

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.linear_model import LinearRegression
from sklearn.metrics import adjusted_rand_score

from workflow_scripts.config import Prototypes
from workflow_scripts.core.errors import UserError
from workflow_scripts.slpd.prototypes import RegionKMeans, SlidePrototypes, cluster_cohort, cluster_slides
from workflow_scripts.slpd.region_weights import LEAST_WEIGHT, region_weights, without_tissue

COUNTS, NAMES = np.array([40, 30, 4]), ["a", "b", "small"]
SLIDE = np.repeat(np.arange(3), COUNTS)


def unit(x: np.ndarray) -> np.ndarray:
    return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)


def glassy(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unit features of three kinds in every slide, pulled far along one axis by glass; the kinds; tissue fractions."""
    rng = np.random.default_rng(seed)
    kind, tissue = rng.integers(0, 3, len(SLIDE)), rng.uniform(0.3, 1, len(SLIDE))
    raw = np.eye(8)[kind] + 0.05 * rng.standard_normal((len(SLIDE), 8)) + 6 * (1 - tissue[:, None]) * np.eye(8)[7]
    return unit(raw), kind, tissue


def settings(**over: object) -> Prototypes:
    return Prototypes.model_validate({"count": 3, "min_regions": 6, "restarts": 20, "iterations": 30} | over)


def test_the_fullest_regions_form_prototypes():
    tissue = np.array([0.2, 0.9, 0.5, 0.5, 0.95, 0.1, 0.0])
    few = settings(min_tissue=0.5, min_regions=3)
    np.testing.assert_array_equal(region_weights(tissue, few), [0, 1, 1, 1, 1, 0, 0])
    np.testing.assert_array_equal(
        region_weights(tissue, settings(min_tissue=0.9, min_regions=3)), [0, 1, 1, 0, 1, 0, 0]
    )
    both = region_weights(tissue, settings(min_tissue=0.9, min_regions=6, weighting="tissue"))
    np.testing.assert_allclose(both, [0.2, 0.9, 0.5, 0.5, 0.95, 0.1, 0])
    alone = region_weights(tissue, settings(weighting="tissue"))
    np.testing.assert_allclose(alone, [0.2, 0.9, 0.5, 0.5, 0.95, 0.1, LEAST_WEIGHT])
    assert region_weights(tissue, settings()) is None


@pytest.mark.parametrize("weighted", [False, True])
def test_the_line_over_the_tissue_fraction_is_scikit_learns(weighted):
    rng = np.random.default_rng(0)
    features, tissue = rng.standard_normal((30, 5)).astype(np.float32), rng.random(30)
    weights = rng.random(30).astype(np.float32) * (rng.random(30) < 0.7) if weighted else None
    fitted = LinearRegression().fit(tissue[:, None], features, weights)
    mean = np.average(features, axis=0, weights=weights)
    np.testing.assert_allclose(
        without_tissue(features, tissue, weights), features - fitted.predict(tissue[:, None]) + mean, atol=1e-5
    )
    np.testing.assert_array_equal(without_tissue(features, np.full(30, 0.4), weights), features)


@pytest.mark.parametrize("seed", range(3))
def test_weighted_k_means_is_as_good_as_scikit_learns(seed):
    rng = np.random.default_rng(seed)
    features, weights = unit(rng.standard_normal((90, 6))), rng.uniform(0.02, 1, 90).astype(np.float32)
    weights[::5] = 0
    found = RegionKMeans(4, 6, settings(iterations=40), 30)(features, seed, weights)
    distances = ((features[:, None] - found.centroids) ** 2).sum(axis=2)
    np.testing.assert_array_equal(found.assignment, distances.argmin(axis=1))
    for number in range(4):
        own = found.assignment == number
        np.testing.assert_allclose(
            found.centroids[number], np.average(features[own], axis=0, weights=weights[own]), atol=1e-5
        )
    reference = KMeans(4, n_init=30, random_state=seed).fit(features, sample_weight=weights)
    assert (weights * distances.min(axis=1)).sum() <= 1.1 * reference.inertia_


def test_regions_of_little_tissue_form_no_prototype_and_belong_to_the_nearest():
    features, _, tissue = glassy()
    chosen = settings(min_tissue=0.7)
    found = cluster_slides(features, NAMES, COUNTS, chosen, 5, tissue=tissue)
    for number in (0, 1):
        own, forming = number == SLIDE, (number == SLIDE) & (tissue >= 0.7)
        assert 6 <= forming.sum() < own.sum()
        alone = cluster_slides(features[forming], [NAMES[number]], np.array([forming.sum()]), settings(), 5)
        np.testing.assert_array_equal(found.vectors[number], alone.vectors[0])
        np.testing.assert_array_equal(found.assignment[forming], alone.assignment)
    none = cluster_slides(features, NAMES, COUNTS, settings(min_tissue=0.7, others="none"), 5, tissue=tissue)
    np.testing.assert_array_equal(none.vectors, found.vectors)
    left = (tissue < 0.7) | (SLIDE == 2)
    np.testing.assert_array_equal(none.assignment, np.where(left, -1, found.assignment))
    np.testing.assert_array_equal(none.similarity, np.where(left, 0, found.similarity))
    assert (found.assignment[SLIDE < 2] >= 0).all() and none.valid.tolist() == [True, True, False]


CURES = [
    {"min_tissue": 0.7, "others": "none"},
    {"adjust": "tissue"},
    {"adjust": "tissue", "weighting": "tissue"},
]


@pytest.mark.parametrize("cure", CURES)
def test_cures_find_kinds_where_glass_hides_them(cure):
    features, kind, tissue = glassy()

    def index(found: SlidePrototypes) -> float:
        parts = [(number == SLIDE) & (found.assignment >= 0) for number in (0, 1)]
        return float(np.mean([adjusted_rand_score(kind[own], found.assignment[own]) for own in parts]))

    plain = index(cluster_slides(features, NAMES, COUNTS, settings(), 5))
    assert index(cluster_slides(features, NAMES, COUNTS, settings(**cure), 5, tissue=tissue)) > plain + 0.2


@pytest.mark.parametrize("features_of", ["bottleneck", "backbone"])
def test_prototypes_of_adjusted_features_are_weighted_means_of_the_features_themselves(features_of):
    features, _, tissue = glassy()
    if features_of == "backbone":
        features = features * np.random.default_rng(2).uniform(2, 5, len(features)).astype(np.float32)[:, None]
    chosen = settings(adjust="tissue", weighting="tissue", features=features_of)
    found = cluster_slides(features, NAMES, COUNTS, chosen, 5, tissue=tissue)
    for n in np.flatnonzero(SLIDE < 2):
        own = (SLIDE[n] == SLIDE) & (found.assignment == found.assignment[n])
        mean = np.average(features[own].astype(np.float64), axis=0, weights=tissue[own].astype(np.float32))
        vector = found.vectors[SLIDE[n], found.assignment[n]]
        np.testing.assert_allclose(vector, mean if features_of == "backbone" else unit(mean), rtol=1e-5, atol=1e-6)
        assert found.similarity[n] == pytest.approx(float(unit(features[n]) @ unit(vector)), abs=1e-5)


def test_the_cohorts_prototypes_are_formed_by_full_regions_of_every_slide():
    features, _, tissue = glassy()
    chosen = settings(min_tissue=0.7, level="global", global_count=5, others="none")
    found = cluster_cohort(features, NAMES, COUNTS, chosen, 5, tissue=tissue)
    forming = (tissue >= 0.7) & (SLIDE < 2)
    np.testing.assert_array_equal(found.assignment >= 0, forming)
    plain = chosen.model_copy(update={"min_tissue": 0.0})
    sizes = np.bincount(SLIDE[forming])
    alone = cluster_cohort(features[forming], NAMES[:2], sizes, plain, 5)
    np.testing.assert_array_equal(found.vectors, alone.vectors)
    too_many = chosen.model_copy(update={"global_count": int(forming.sum()) + 1})
    with pytest.raises(UserError, match=f"{forming.sum()} regions of slides"):
        cluster_cohort(features, NAMES, COUNTS, too_many, 5, tissue=tissue)


def test_without_a_cure_the_tissue_fraction_changes_no_bit_and_with_one_it_is_needed():
    features, _, tissue = glassy()
    for cluster in (cluster_slides, cluster_cohort):
        plain = settings(global_count=5)
        one, other = (cluster(features, NAMES, COUNTS, plain, 5, tissue=given) for given in (None, tissue))
        for name in ("vectors", "assignment", "similarity"):
            assert getattr(one, name).tobytes() == getattr(other, name).tobytes()
        with pytest.raises(ValueError, match="tissue fraction"):
            cluster(features, NAMES, COUNTS, settings(weighting="tissue"), 5)
    before = features.copy()
    cluster_slides(features, NAMES, COUNTS, settings(adjust="tissue"), 5, tissue=tissue)
    np.testing.assert_array_equal(features, before)
