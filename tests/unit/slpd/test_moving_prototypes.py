"""The moving average of prototypes, against a search over all matchings."""

from itertools import permutations

import numpy as np
import pytest

from workflow_scripts.slpd.moving_prototypes import moving_prototypes
from workflow_scripts.slpd.prototypes import SlidePrototypes

COUNTS = [5, 4, 6]
OWNER = np.repeat(np.arange(3), COUNTS)


def clustering(seed: int, valid: list[bool]) -> SlidePrototypes:
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((3, 3, 5)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    there = np.array(valid)
    vectors[~there] = 0
    assignment = np.where(there[OWNER], np.arange(len(OWNER)) % 3, -1)
    return SlidePrototypes(vectors, there, assignment, np.where(there[OWNER], 0.5, 0).astype(np.float32))


@pytest.mark.parametrize("unit", [True, False])
def test_new_prototypes_are_averaged_with_those_that_match_best(unit):
    new, old = clustering(0, [True, True, True]), clustering(1, [True, False, True])
    features = np.random.default_rng(2).standard_normal((len(OWNER), 5)).astype(np.float32)
    found = moving_prototypes(new, old, features, OWNER, 0.7, unit)
    moved = 0
    for slide in (0, 2):
        best = max(
            permutations(range(3)),
            key=lambda o, s=slide: sum(new.vectors[s, k] @ old.vectors[s, o[k]] for k in range(3)),
        )
        moved += best != (0, 1, 2)
        wanted = 0.7 * old.vectors[slide][list(best)] + 0.3 * new.vectors[slide]
        if unit:
            wanted = wanted / np.linalg.norm(wanted, axis=1, keepdims=True)
        np.testing.assert_allclose(found.vectors[slide], wanted, rtol=1e-5, atol=1e-7)
    assert moved  # not every prototype has kept its number
    np.testing.assert_array_equal(found.vectors[1], new.vectors[1])  # it had none before
    np.testing.assert_array_equal(found.assignment, new.assignment)
    for n, (slide, own) in enumerate(zip(OWNER, new.assignment, strict=True)):
        vector = found.vectors[slide, own]
        cosine = features[n] @ vector / np.linalg.norm(features[n]) / np.linalg.norm(vector)
        assert found.similarity[n] == pytest.approx(cosine, abs=1e-6)


def test_slides_without_prototypes_stay_without():
    new = clustering(0, [True, False, True])
    found = moving_prototypes(new, clustering(1, [True] * 3), np.ones((len(OWNER), 5), np.float32), OWNER, 0.5, True)
    assert not found.vectors[1].any()
    assert not found.similarity[OWNER == 1].any()
