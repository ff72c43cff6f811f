"""Folds by patient: nobody leaks, everybody is tested once, classes stay in proportion."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow_scripts.mil.splits import patient_parts, require_no_leak, split_rows


@st.composite
def _cohorts(draw):
    """Slides of patients of 2 to 4 strata, each with at least as many patients as folds."""
    folds = draw(st.integers(2, 5))
    strata = draw(st.lists(st.integers(folds, 15), min_size=2, max_size=4))
    of_patient = [stratum for stratum, count in enumerate(strata) for _ in range(count)]
    slides = draw(st.lists(st.integers(1, 3), min_size=len(of_patient), max_size=len(of_patient)))
    owner = np.repeat(np.arange(len(of_patient)), slides)
    owner = np.random.default_rng(draw(st.integers(0, 99))).permutation(owner)
    return folds, [f"p{i}" for i in owner], np.array(of_patient)[owner], draw(st.integers(0, 2**31))


@settings(max_examples=40, deadline=None)
@given(_cohorts(), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.95]))
def test_split_properties(cohort, fraction):
    folds, patients, strata, seed = cohort
    slides = [f"s{i}" for i in range(len(patients))]
    rows = split_rows(slides, patients, strata, folds, seed, fraction)

    assert len(rows) == folds * len(slides)
    parts = {}
    for row in rows:
        parts.setdefault((row["fold"], row["patient_id"]), set()).add(row["part"])
    assert all(len(found) == 1 for found in parts.values()), "a patient is in two parts"
    tested = Counter(patient for (_, patient), found in parts.items() if found == {"test"})
    assert tested == dict.fromkeys(patients, 1), "a patient is not tested exactly once"

    of_patient = dict(zip(patients, strata.tolist(), strict=True))
    sizes = Counter(of_patient.values())
    for fold in range(folds):
        count = Counter((of_patient[patient], next(iter(found))) for (k, patient), found in parts.items() if k == fold)
        for stratum, size in sizes.items():
            assert abs(count[stratum, "test"] - size / folds) < 1
            assert count[stratum, "train"] >= 1
            learning = size - count[stratum, "test"]
            assert abs(count[stratum, "val"] - fraction * learning) <= 1
        n_val = sum(count[stratum, "val"] for stratum in sizes)
        n_learning = len(of_patient) - sum(count[stratum, "test"] for stratum in sizes)
        assert n_val <= round(fraction * n_learning)


def test_same_seed_same_split_whatever_the_order():
    patients, strata = [f"p{i}" for i in range(30)], np.arange(30) % 3
    first = patient_parts(patients, strata, 5, 4, 0.2)
    back = patient_parts(patients[::-1], strata[::-1], 5, 4, 0.2)
    assert first == back
    assert first != patient_parts(patients, strata, 5, 5, 0.2)


def test_validation_takes_its_fraction():
    parts = patient_parts([f"p{i}" for i in range(50)], np.arange(50) % 2, 5, 0, 0.25)
    assert [Counter(fold.values()) for fold in parts] == [{"train": 30, "val": 10, "test": 10}] * 5


def test_a_leak_is_caught():
    row = {"slide_id": "a", "patient_id": "p", "fold": 0, "part": "train"}
    require_no_leak([row, {**row, "slide_id": "b"}, {**row, "fold": 1, "part": "test"}])
    with pytest.raises(AssertionError, match="patient p is in train and test of fold 0"):
        require_no_leak([row, {**row, "slide_id": "b", "part": "test"}])
