"""Patients in two parts of a given split: counted against a plain count, refused, left in, or mended."""

import numpy as np
import pytest

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.given_splits import GivenSplit
from workflow_scripts.core.leaks import leak_of, settle_leaks

PATIENT_OF = {"a1": "a", "a2": "a", "b1": "b", "b2": "b", "c1": "c", "c2": "c", "d1": "d"}
# a is in train and test, b in val and test, c in train and val
PARTS = {"a1": "train", "a2": "test", "b1": "val", "b2": "test", "c1": "train", "c2": "val", "d1": "test"}
SPLIT = GivenSplit(0, 0, "0/0", PARTS)


def test_what_leaks_is_counted():
    leak = leak_of(SPLIT, PATIENT_OF)
    assert (leak.patients, leak.in_validation) == (["a"], ["b", "c"])
    assert (leak.test_slides, leak.of_test_slides) == (2, 3)
    assert leak.counts() == {
        "repeat": 0, "fold": 0, "patients": 1, "in_validation": 2, "test_slides": 2, "of_test_slides": 3
    }  # fmt: skip


def test_a_leak_is_refused_unless_it_is_asked_for():
    clean = GivenSplit(0, 1, "0/1", {"a1": "train", "a2": "train", "d1": "test"})
    with pytest.raises(
        UserError, match=r"1 patient is in train and test of split 0/0 \(a\), and 1 of 2 splits leak so"
    ):
        settle_leaks([clean, SPLIT], PATIENT_OF, "refuse")
    splits, leaks = settle_leaks([clean, SPLIT], PATIENT_OF, "report")
    assert splits == [clean, SPLIT]
    assert [leak.any for leak in leaks] == [False, True]


def test_a_leak_of_validation_alone_is_a_leak():
    split = SPLIT._replace(parts={"c1": "train", "c2": "val", "d1": "test"})
    with pytest.raises(UserError, match="val and another part"):
        settle_leaks([split], PATIENT_OF, "refuse")


@pytest.mark.parametrize(
    ("leaks", "parts"),
    [
        ("drop_from_train", {"a2": "test", "b2": "test", "c2": "val", "d1": "test"}),
        ("drop_from_test", {"a1": "train", "b1": "val", "c1": "train", "d1": "test"}),
    ],
)
def test_a_leak_is_mended_by_the_rule(leaks, parts):
    splits, found = settle_leaks([SPLIT], PATIENT_OF, leaks)
    assert splits[0].parts == parts
    assert found[0].patients == ["a"]  # what leaked before is still told


@pytest.mark.parametrize("leaks", ["drop_from_train", "drop_from_test"])
def test_nobody_leaks_after_mending(leaks):
    random = np.random.default_rng(0)
    for _ in range(50):
        patient_of = {f"s{i}": f"p{random.integers(8)}" for i in range(20)}
        parts = {slide: str(random.choice(["train", "val", "test"])) for slide in patient_of}
        splits, _ = settle_leaks([SPLIT._replace(parts=parts)], patient_of, leaks)
        assert not leak_of(splits[0], patient_of).any
        assert splits[0].parts.items() <= parts.items()
        assert {patient_of[slide] for slide in splits[0].parts} == set(patient_of.values())  # nobody is lost whole
