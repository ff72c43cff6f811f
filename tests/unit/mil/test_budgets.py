"""Budgets: by patient, stratified, each within the next larger one, tests untouched."""

from collections import Counter

import numpy as np
import pytest

from workflow_scripts.core.budgets import fraction_name
from workflow_scripts.core.errors import UserError
from workflow_scripts.mil.budgets import few_shot, train_fractions
from workflow_scripts.mil.splits import Cohort, deal_folds, require_no_leak


@pytest.fixture
def cohort():
    """60 patients of three classes, 30, 20 and 10, with one to three slides."""
    random = np.random.default_rng(0)
    of_patient = np.repeat([0, 1, 2], [30, 20, 10])
    owner = random.permutation(np.repeat(np.arange(60), random.integers(1, 4, 60)))
    patients = [f"p{i}" for i in owner]
    return Cohort([f"s{i}" for i in range(len(owner))], patients, of_patient[owner])


def _of(cohort, split, *parts):
    """Patients of some parts."""
    return {name for name, part in zip(cohort.patient_ids, split.parts.tolist(), strict=True) if part in parts}


def _classes(cohort, patients):
    of_patient = dict(zip(cohort.patient_ids, cohort.strata.tolist(), strict=True))
    return Counter(of_patient[name] for name in patients)


def test_names_of_budgets():
    assert [fraction_name(value) for value in (1.0, 0.25, 0.125)] == ["all", "25%", "12.5%"]


def test_fractions_are_stratified_and_nested(cohort):
    whole = deal_folds(cohort, 5, 2, 0, 0.2)
    made = train_fractions(cohort, whole, [1.0, 0.5, 0.25, 0.01], 0)
    assert len(made) == 40
    require_no_leak(cohort.patient_ids, made)
    by_key = {(split.budget, split.repeat, split.fold): split for split in made}
    for split in whole:
        levels = [by_key[budget, split.repeat, split.fold] for budget in ("all", "50%", "25%", "1%")]
        np.testing.assert_array_equal(levels[0].parts, split.parts)
        for part in ("train", "val"):
            sets = [_of(cohort, level, part) for level in levels]
            assert sets[0] > sets[1] > sets[2] >= sets[3]
            full = _classes(cohort, sets[0])
            for fraction, found in zip((0.5, 0.25), sets[1:], strict=False):
                assert all(
                    abs(_classes(cohort, found)[name] - fraction * count) <= 0.75 for name, count in full.items()
                )
            assert set(_classes(cohort, sets[3]).values()) == {1}
        for level in levels:
            assert _of(cohort, level, "test") == _of(cohort, split, "test")
            assert _of(cohort, level, "train", "val", "unused") == _of(cohort, split, "train", "val")


def test_few_shot_takes_its_patients_of_each_class_nested_within_a_draw(cohort):
    whole = deal_folds(cohort, 5, 2, 0, 0.2)
    made = few_shot(cohort, whole, [1, 2, 4], 12, 0, ["x", "y", "z"])
    assert [(split.budget, split.repeat) for split in made] == [
        (f"{number}/class", draw) for number in (1, 2, 4) for draw in range(12)
    ]
    require_no_leak(cohort.patient_ids, made)
    by_key = {(split.budget, split.repeat): split for split in made}
    for draw in range(12):
        levels = [by_key[f"{number}/class", draw] for number in (1, 2, 4)]
        sets = [_of(cohort, level, "train") for level in levels]
        assert sets[0] < sets[1] < sets[2]
        for number, found in zip((1, 2, 4), sets, strict=True):
            assert _classes(cohort, found) == {0: number, 1: number, 2: number}
        source = whole[draw % 10]  # fold draw % 5 of repeat draw // 5, and from the start again
        for level in levels:
            assert level.fold == source.fold == draw % 5
            assert _of(cohort, level, "test") == _of(cohort, source, "test")
            assert not _of(cohort, level, "val")
            assert _of(cohort, level, "train") <= _of(cohort, source, "train", "val")
    first, again = (_of(cohort, by_key["1/class", draw], "train") for draw in (0, 10))  # of the same split
    assert first != again


def test_draws_do_not_depend_on_the_order_of_the_rows(cohort):
    order = np.random.default_rng(1).permutation(len(cohort.slide_ids))
    mixed = Cohort([cohort.slide_ids[i] for i in order], [cohort.patient_ids[i] for i in order], cohort.strata[order])
    found = []
    for one in (cohort, mixed):
        whole = deal_folds(one, 5, 1, 0)
        made = [*train_fractions(one, whole, [0.3], 0), *few_shot(one, whole, [2], 3, 0, ["x", "y", "z"])]
        found.append([dict(zip(one.slide_ids, split.parts.tolist(), strict=True)) for split in made])
    assert found[0] == found[1]


def test_too_few_patients_of_a_class(cohort):
    whole = deal_folds(cohort, 5, 1, 0)
    with pytest.raises(UserError, match=r"9 patients of each class are asked for.*repeat 0, fold 0 has 8 of 'z'"):
        few_shot(cohort, whole, [2, 9], 3, 0, ["x", "y", "z"])
