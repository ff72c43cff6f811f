"""Dealt splits: nobody leaks, everybody is tested once a repeat, strata stay in proportion, sites stay together."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.given_splits import GivenSplit
from workflow_scripts.mil.splits import (
    Cohort,
    Split,
    as_given,
    deal_folds,
    patient_strata,
    require_learnable,
    require_no_leak,
    split_columns,
)


@st.composite
def _cohorts(draw):
    """Slides of patients of 2 to 4 strata, each with at least as many patients as folds."""
    folds = draw(st.integers(2, 5))
    strata = draw(st.lists(st.integers(folds, 15), min_size=2, max_size=4))
    of_patient = [stratum for stratum, count in enumerate(strata) for _ in range(count)]
    slides = draw(st.lists(st.integers(1, 3), min_size=len(of_patient), max_size=len(of_patient)))
    owner = np.repeat(np.arange(len(of_patient)), slides)
    owner = np.random.default_rng(draw(st.integers(0, 99))).permutation(owner)
    patients = [f"p{i}" for i in owner]
    cohort = Cohort([f"s{i}" for i in range(len(owner))], patients, np.array(of_patient)[owner])
    return folds, cohort, draw(st.integers(0, 2**31))


def _patients(n, strata=2, **more):
    names = [f"p{i}" for i in range(n)]
    return Cohort([f"s{i}" for i in range(n)], names, np.arange(n) % strata, **more)


def _parts_of(cohort, split):
    """Part of each patient; a patient in two parts fails."""
    found = {}
    for patient, part in zip(cohort.patient_ids, split.parts.tolist(), strict=True):
        assert found.setdefault(patient, part) == part, "a patient is in two parts"
    return found


@settings(max_examples=40, deadline=None)
@given(_cohorts(), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.95]))
def test_split_properties(made, fraction):
    folds, cohort, seed = made
    splits = deal_folds(cohort, folds, 2, seed, fraction)
    assert [(split.repeat, split.fold) for split in splits] == [(r, k) for r in range(2) for k in range(folds)]
    require_no_leak(cohort.patient_ids, splits)

    of_patient = patient_strata(cohort.patient_ids, cohort.strata)
    sizes = Counter(of_patient.values())
    for repeat in range(2):
        tested = Counter()
        for split in splits[repeat * folds : (repeat + 1) * folds]:
            parts = _parts_of(cohort, split)
            tested.update(name for name, part in parts.items() if part == "test")
            count = Counter((of_patient[name], part) for name, part in parts.items())
            for stratum, size in sizes.items():
                assert abs(count[stratum, "test"] - size / folds) < 1
                assert count[stratum, "train"] >= 1
                learning = size - count[stratum, "test"]
                assert abs(count[stratum, "val"] - fraction * learning) <= 1
            n_test, n_val = (sum(count[stratum, part] for stratum in sizes) for part in ("test", "val"))
            assert n_val <= round(fraction * (len(of_patient) - n_test))
        assert tested == dict.fromkeys(cohort.patient_ids, 1), "a patient is not tested exactly once a repeat"


def _by_name(cohort, splits):
    return [dict(zip(cohort.slide_ids, split.parts.tolist(), strict=True)) for split in splits]


@pytest.mark.parametrize("by_slide", [False, True])
@pytest.mark.parametrize("sites", [None, [f"h{i % 7}" for i in range(15)]])
def test_the_deal_depends_on_the_seed_and_not_on_the_order_of_the_rows(by_slide, sites):
    patients = [f"p{i // 2}" for i in range(30)]
    strata = np.random.default_rng(1).integers(0, 2, 30) if by_slide else np.repeat(np.arange(15) % 2, 2)
    values = np.repeat(np.random.default_rng(2).random(15), 2)
    of_site = sites and [sites[i // 2] for i in range(30)]
    cohort = Cohort([f"s{i}" for i in range(30)], patients, strata, values, of_site, by_slide)
    order = np.random.default_rng(3).permutation(30)
    lists = [[column[i] for i in order] if column else None for column in (cohort[0], cohort[1], cohort.sites)]
    mixed = Cohort(lists[0], lists[1], strata[order], values[order], lists[2], by_slide)
    first = _by_name(cohort, deal_folds(cohort, 3, 2, 4, 0.2))
    assert first == _by_name(mixed, deal_folds(mixed, 3, 2, 4, 0.2))
    assert first != _by_name(cohort, deal_folds(cohort, 3, 2, 5, 0.2))


def test_every_repeat_is_dealt_anew():
    cohort = _patients(40)
    splits = deal_folds(cohort, 4, 3, 0)
    tests = [frozenset(np.flatnonzero(split.parts == "test").tolist()) for split in splits]
    assert len(set(tests)) == 12
    assert _by_name(cohort, splits[:4]) == _by_name(cohort, deal_folds(cohort, 4, 1, 0))  # more repeats move none


def test_validation_takes_its_fraction():
    splits = deal_folds(_patients(50), 5, 1, 0, 0.25)
    assert [Counter(split.parts.tolist()) for split in splits] == [{"train": 30, "val": 10, "test": 10}] * 5


def test_times_are_spread_evenly_over_folds():
    """Every fold has its share of early and of late events, which a deal by event alone leaves to chance."""
    random = np.random.default_rng(0)
    time, event = random.exponential(10.0, 80), np.arange(80) % 2
    names = [f"p{i}" for i in range(80)]
    quarters = np.zeros(80, int)
    for group in (0, 1):
        inside = np.flatnonzero(event == group)
        quarters[inside[np.argsort(time[inside])]] = np.repeat(np.arange(4), 10)
    for split in deal_folds(Cohort(names, names, event, time), 5, 4, 0):
        tested = split.parts == "test"
        assert Counter(zip(event[tested], quarters[tested], strict=True)) == {
            (group, quarter): 2 for group in (0, 1) for quarter in range(4)
        }


def test_a_small_stratum_is_not_divided_below_the_folds():
    """Three events and three folds: each fold has one, whatever the times."""
    event, time = np.array([1, 1, 1] + [0] * 21), np.arange(24.0)
    names = [f"p{i:02d}" for i in range(24)]
    for split in deal_folds(Cohort(names, names, event, time), 3, 5, 0):
        assert event[split.parts == "test"].sum() == 1


def test_slides_of_one_site_are_tested_together():
    random = np.random.default_rng(0)
    sites = [f"h{i}" for i in random.integers(0, 12, 120)]
    names = [f"p{i}" for i in range(120)]
    strata = random.integers(0, 2, 120)
    cohort = Cohort(names, names, strata, sites=sites)
    for split in deal_folds(cohort, 4, 3, 0):
        tested = split.parts == "test"
        assert not {sites[i] for i in np.flatnonzero(tested)} & {sites[i] for i in np.flatnonzero(~tested)}
        assert 10 <= tested.sum() <= 55
        assert abs(strata[tested].mean() - strata.mean()) < 0.2


def test_labels_by_slide_are_balanced_by_slide_and_dealt_by_patient():
    random = np.random.default_rng(0)
    patients = [f"p{i // 3}" for i in range(150)]
    strata = random.integers(0, 2, 150)
    cohort = Cohort([f"s{i}" for i in range(150)], patients, strata, by_slide=True)
    splits = deal_folds(cohort, 5, 2, 0)
    require_no_leak(patients, splits)
    for split in splits:
        tested = split.parts == "test"
        assert tested.sum() == 30
        assert abs(strata[tested].mean() - strata.mean()) < 0.1


def test_stratum_of_a_patient_is_that_of_most_slides():
    assert patient_strata(["b", "a", "a", "a", "b"], np.array([1, 2, 0, 2, 0])) == {"a": 2, "b": 0}


def test_a_leak_is_caught():
    patients = ["p", "p", "q"]
    require_no_leak(patients, [Split("all", 0, 0, np.array(["train", "", "test"]))])
    with pytest.raises(AssertionError, match="patient p is in train and test of repeat 1, fold 2, budget 25%"):
        require_no_leak(patients, [Split("25%", 1, 2, np.array(["train", "test", "test"]))])


def test_a_slide_in_no_part_has_no_row():
    cohort = _patients(3)
    columns = split_columns(cohort, [Split("all", 0, 1, np.array(["train", "", "test"]))])
    assert columns == {
        "slide_id": ["s0", "s2"],
        "patient_id": ["p0", "p2"],
        "repeat": [0, 0],
        "fold": [1, 1],
        "budget": ["all", "all"],
        "part": ["train", "test"],
    }


def test_given_splits_become_arrays_and_get_validation_patients_where_they_have_none():
    cohort = _patients(20)
    test = {f"s{i}": "test" for i in range(4)}
    given = [
        GivenSplit(0, 0, "a", {f"s{i}": "train" for i in range(4, 20)} | test),
        GivenSplit(0, 1, "b", {"s5": "val", "s6": "train", "s7": "train"} | test),
    ]
    first, second = as_given(cohort, given, 0, 0.25)
    assert Counter(first.parts.tolist()) == {"test": 4, "val": 4, "train": 12}
    assert Counter(cohort.strata[first.parts == "val"].tolist()) == {0: 2, 1: 2}
    assert second.parts.tolist() == ["test"] * 4 + ["", "val", "train", "train"] + [""] * 12
    assert as_given(cohort, given, 0)[0].parts.tolist() == ["test"] * 4 + ["train"] * 16


def test_a_deal_that_leaves_nothing_to_learn_or_to_test_is_refused():
    cohort = _patients(6)
    learnt = Split("all", 0, 0, np.array(["test", "test", "train", "train", "train", "train"]))
    require_learnable(cohort, [learnt], {0: "x", 1: "y"})
    lacking = learnt._replace(fold=1, parts=np.array(["test", "train"] * 3))
    with pytest.raises(UserError, match="repeat 0, fold 1 has nothing to learn 'x' from"):
        require_learnable(cohort, [learnt, lacking], {0: "x", 1: "y"})
    require_learnable(cohort, [lacking], {1: "y"})
    with pytest.raises(UserError, match="repeat 0, fold 0 has nothing to test"):
        require_learnable(cohort, [learnt._replace(parts=np.array(["train"] * 6))], {0: "x"})
