"""The adjusted Rand index, against counting."""

from itertools import combinations

import numpy as np
import pytest

from workflow_scripts.mil.agreement import cohort_agreement, prototype_agreement


def _pair_ari(a, b):
    """Hubert and Arabie's index from the four kinds of pairs."""
    pairs = list(combinations(range(len(a)), 2))
    both = sum(a[i] == a[j] and b[i] == b[j] for i, j in pairs)
    in_a, in_b = (sum(x[i] == x[j] for i, j in pairs) for x in (a, b))
    expected = in_a * in_b / len(pairs)
    return (both - expected) / ((in_a + in_b) / 2 - expected)


@pytest.mark.parametrize("seed", range(3))
def test_ari_counts_pairs_and_leaves_glass_out(seed):
    random = np.random.default_rng(seed)
    classes = random.integers(0, 4, 60)
    prototypes = np.where(random.random(60) < 0.6, classes, random.integers(0, 4, 60))
    tissue = classes > 0
    agreement = prototype_agreement(prototypes, classes, seed)
    assert agreement.n_regions == tissue.sum()
    assert agreement.n_classes == 3
    assert agreement.ari == pytest.approx(_pair_ari(prototypes[tissue], classes[tissue]))
    assert abs(agreement.ari_random) < 0.05
    assert agreement.ari > agreement.ari_random + 0.1


def test_renamed_prototypes_agree_fully():
    classes = np.array([1, 1, 2, 2, 3, 3])
    assert prototype_agreement((classes + 1) % 3, classes, 0).ari == pytest.approx(1.0)


def test_random_baseline_is_seeded():
    classes, prototypes = np.array([1, 1, 2, 2, 1, 2, 3]), np.array([0, 1, 1, 0, 0, 1, 1])
    values = [prototype_agreement(prototypes, classes, seed).ari_random for seed in (0, 0, 1)]
    assert values[0] == values[1] != values[2]


def test_glass_alone_has_no_agreement():
    agreement = prototype_agreement(np.array([0, 1]), np.array([0, 0]), 0)
    assert agreement[:2] == (0, 0)
    assert np.isnan(agreement.ari)


def test_groups_of_the_cohort_and_their_chance():
    """Each slide's prototypes are pure, so all that groups can lose is which prototypes of two slides are alike."""
    rng = np.random.default_rng(0)
    slides, classes = np.repeat(np.arange(20), 30), np.tile(np.repeat([1, 2, 0], 10), 20)
    prototypes = slides * 3 + classes
    good, poor = (
        cohort_agreement(slides, prototypes, groups, classes, seed=1)
        for groups in (classes % 3, rng.integers(0, 2, 60)[prototypes])
    )
    assert good.ari == pytest.approx(1) and (good.n_slides, good.n_regions, good.n_classes, good.n_groups) == (
        20,
        400,
        2,
        2,
    )
    assert abs(good.ari_random) < 0.01 and 0 <= good.ari_random_prototypes < 0.1
    tissue = classes > 0
    wanted = _pair_ari(classes[tissue].tolist(), poor_groups := rng.integers(0, 2, 400).tolist())
    assert wanted == pytest.approx(
        cohort_agreement(*[x[tissue] for x in (slides, prototypes)], np.array(poor_groups), classes[tissue], 0).ari
    )
    assert poor.ari < 0.2


def test_a_cohort_of_glass_has_no_agreement():
    nothing = np.zeros(3, np.int64)
    assert np.isnan(cohort_agreement(nothing, nothing, nothing, nothing, seed=0).ari)
