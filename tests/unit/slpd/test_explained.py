"""Shares of variance against plain loops, permutations and the F ratio of scipy."""

import logging

import numpy as np
import pytest
from scipy.stats import f_oneway
from sklearn.metrics import adjusted_rand_score

from workflow_scripts.slpd.explained import (
    MOST_BY_TISSUE,
    explained,
    region_tissue,
    rim_share,
    tell_tissue,
    tissue_facts,
    truth_index,
)


def cohort(seed: int = 0, width: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values, slides and prototypes of regions in mixed order; prototypes tell something of the values."""
    rng = np.random.default_rng(seed)
    slide = rng.permutation(np.repeat(np.arange(5), [12, 9, 30, 4, 1]))
    prototype = rng.integers(0, 3, len(slide))
    return rng.standard_normal((len(slide), width)) + prototype[:, None] + 9 * slide[:, None], slide, prototype


def plain(values: np.ndarray, slide: np.ndarray, prototype: np.ndarray) -> float:
    total = between = 0.0
    for s in np.unique(slide):
        own = values[slide == s]
        total += sum(float(((row - own.mean(axis=0)) ** 2).sum()) for row in own)
        for k in np.unique(prototype[slide == s]):
            part = values[(slide == s) & (prototype == k)]
            between += len(part) * float(((part.mean(axis=0) - own.mean(axis=0)) ** 2).sum())
    return between / total


def test_share_is_that_of_plain_loops_and_chance_that_of_permutations():
    values, slide, prototype = cohort()
    found = explained(values, slide, prototype)
    assert found.share == pytest.approx(plain(values, slide, prototype))
    assert (found.n_slides, found.n_regions) == (4, 55)  # not the slide with one region
    rng, dealt = np.random.default_rng(1), []
    for _ in range(3000):
        other = prototype.copy()
        for s in range(5):
            other[slide == s] = rng.permutation(prototype[slide == s])
        dealt.append(explained(values, slide, other))
    shares = np.array([one.share for one in dealt])
    assert found.chance == pytest.approx(shares.mean(), abs=4 * shares.std() / np.sqrt(len(shares)))
    assert np.mean([one.adjusted for one in dealt]) == pytest.approx(0, abs=0.01)


def test_in_one_slide_the_adjusted_share_is_epsilon_squared_from_the_f_ratio():
    values, slide, prototype = cohort(2, width=1)
    own = slide == 2
    groups = [values[own & (prototype == k), 0] for k in range(3)]
    ratio, n = f_oneway(*groups).statistic, int(own.sum())
    found = explained(values[own, 0], slide[own], prototype[own])
    assert found.share == pytest.approx(2 * ratio / (2 * ratio + n - 3))
    assert found.adjusted == pytest.approx(2 * (ratio - 1) / (2 * ratio + n - 3))


def test_what_does_not_count():
    values, slide, prototype = cohort()
    before = explained(values, slide, prototype)
    more = np.concatenate([values, np.full((4, 3), 7.0), np.full((1, 3), np.nan), np.full((1, 3), 99.0)])
    slides = np.concatenate([slide, [7, 7, 7, 7], [0], [0]])  # a slide without variance, a NaN, a region without one
    found = explained(more, slides, np.concatenate([prototype, [0, 1, 1, 0], [1], [-1]]))
    np.testing.assert_allclose(found, before)


@pytest.mark.parametrize(
    ("values", "prototype", "share", "adjusted"),
    [
        ([0.0, 0.0, 1.0, 1.0], [0, 0, 1, 1], 1, 1),
        ([0.0, 1.0, 0.0, 1.0], [0, 0, 1, 1], 0, -0.5),
        ([0.0, 1.0, 2.0, 5.0], [0, 0, 0, 0], 0, 0),
        ([0.0, 1.0, 2.0, 5.0], [0, 1, 2, 3], 1, np.nan),
        ([2.0, 2.0, 2.0, 2.0], [0, 0, 1, 1], np.nan, np.nan),
        ([2.0, 1.0, 2.0, 4.0], [-1, -1, -1, -1], np.nan, np.nan),
    ],
)
def test_extremes(values, prototype, share, adjusted):
    found = explained(np.array(values), np.zeros(4, dtype=np.int64), np.array(prototype))
    np.testing.assert_allclose([found.share, found.adjusted], [share, adjusted], atol=1e-12)


def test_rim_share_counts_the_places_around():
    rng = np.random.default_rng(0)
    places = [(s, r, c) for s in range(2) for r in range(6) for c in range(5) if rng.random() < 0.6]
    places.append((2, 40, -3))  # alone in its slide
    there = set(places)
    slide, row, column = np.array(places).T
    found = rim_share(slide, row, column)
    for (s, r, c), share in zip(places, found, strict=True):
        near = sum((s, r + i, c + j) in there for i in (-1, 0, 1) for j in (-1, 0, 1)) - 1
        assert share == pytest.approx(1 - near / 8)
    assert found[-1] == 1 and found.min() < 0.5
    full = np.array([(r, c) for r in range(3) for c in range(3)])
    assert rim_share(np.zeros(9, dtype=np.int64), *full.T)[4] == 0
    assert len(rim_share(*np.empty((3, 0), dtype=np.int64))) == 0


def test_tissue_of_a_region_is_what_could_be_read_of_it():
    tissue = np.array([[[1.0, 0.5], [0.0, 1.0]], [[1.0, 1.0], [1.0, 1.0]]], dtype=np.float32)
    read_ok = np.array([[[True, True], [True, False]], [[False, False], [False, False]]])
    np.testing.assert_allclose(region_tissue(tissue, read_ok), [0.375, 0.0])


def test_index_against_truth_is_the_mean_over_slides_of_several_classes():
    rng = np.random.default_rng(4)
    slide = rng.permutation(np.repeat([0, 1, 2, 4], 25))  # slide 3 has no region
    classes, prototype = rng.integers(0, 4, 100), rng.integers(-1, 3, 100)
    classes[slide == 2] = 3 * rng.integers(0, 2, 25)  # one class, and glass
    each = []
    for number in (0, 1, 4):
        own = (slide == number) & (classes > 0) & (prototype >= 0)
        each.append(adjusted_rand_score(classes[own], prototype[own]))
    index, slides = truth_index(slide, prototype, classes)
    assert index == pytest.approx(np.mean(each)) and slides == 3
    assert truth_index(slide, prototype, np.zeros(100, dtype=np.int64))[1] == 0


def test_prototypes_of_glass_are_warned_of(caplog):
    slide = np.zeros(40, dtype=np.int64)
    glassy = np.repeat([0, 1], 20)
    noise = np.random.default_rng(0).random(40)
    for tissue, level in ((glassy + 0.1 * noise, logging.WARNING), (noise, logging.INFO)):
        caplog.clear()
        with caplog.at_level(logging.INFO):
            facts = tissue_facts(tissue, slide, glassy)
            tell_tissue(facts, hidden=False)
        (record,) = caplog.records
        assert record.levelno == level and "differ in tissue fraction" in record.getMessage()
        assert (facts["tissue_explained_adjusted"] > MOST_BY_TISSUE) == (level == logging.WARNING)
    caplog.clear()
    tell_tissue(tissue_facts(np.ones(40), slide, glassy), hidden=True)
    assert not caplog.records


@pytest.mark.parametrize(
    ("hidden", "cure"), [(False, "prototypes.mask_glass: true"), (True, "prototypes.adjust: tissue")]
)
def test_the_warning_names_a_cure_that_is_not_taken_yet(caplog, hidden, cure):
    glassy = np.repeat([0, 1], 20)
    tell_tissue(tissue_facts(glassy.astype(float), np.zeros(40, dtype=np.int64), glassy), hidden=hidden)
    assert cure in caplog.text and "how much glass a region holds" in caplog.text
