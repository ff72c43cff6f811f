"""Splits and labels that split_patients writes, once for all heads."""

import pytest

from tests.unit.benchmark.made import N_PATIENTS, SUBTYPE, split_cohort
from workflow_scripts.core import schemas
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.tables import read_meta, read_table
from workflow_scripts.mil.units import LABELS


def test_splits_list_labelled_usable_slides_in_every_fold(cohort):
    path = split_cohort(cohort, validation_fraction=0.2)
    table, meta = read_table(path), read_meta(path)
    assert table.schema.equals(schemas.SPLITS)
    assert len(table) == 3 * 30
    names = set(table["slide_id"].to_pylist())
    assert "s0-1" not in names  # no label
    assert "s3-1" not in names  # not usable
    assert meta["excluded"] == {"no_label": 1, "not_usable": 1}
    assert (meta["n_excluded"], meta["n_slides"], meta["n_patients"]) == (2, 30, 24)
    assert (meta["classes"], meta["kind"], meta["counts"]) == (
        ["luad", "lusc"],
        "classification",
        {"luad": 12, "lusc": 12},
    )
    assert set(table["part"].to_pylist()) == {"train", "val", "test"}


def test_repeats_are_further_deals_of_the_same_slides(cohort):
    rows = read_table(split_cohort(cohort, repeats=4)).to_pylist()
    assert len(rows) == 4 * 3 * 30
    assert {(row["repeat"], row["fold"], row["budget"]) for row in rows} == {
        (repeat, fold, "all") for repeat in range(4) for fold in range(3)
    }


def test_same_seed_same_bytes(cohort):
    first = split_cohort(cohort).read_bytes()
    assert split_cohort(cohort).read_bytes() == first
    assert split_cohort(cohort, seed=1).read_bytes() != first


def test_labels_are_frozen_with_the_splits(cohort):
    split_cohort(cohort)
    table = read_table(cohort / "labels.parquet")
    assert table.schema.equals(LABELS)
    rows = {row["slide_id"]: row for row in table.to_pylist()}
    assert len(rows) == 30 and rows["s7-0"]["label"] == "lusc" and rows["s7-0"]["patient_id"] == "p7"
    assert rows["s7-0"]["time"] is None


def test_permuted_labels_are_the_same_labels_of_other_patients(cohort):
    labels = {}
    for permuted in (False, True):
        split_cohort(cohort, SUBTYPE | {"permuted": permuted})
        rows = read_table(cohort / "labels.parquet").to_pylist()
        labels[permuted] = {row["patient_id"]: row["label"] for row in rows}
        assert len({(row["patient_id"], row["label"]) for row in rows}) == N_PATIENTS
    assert labels[True] != labels[False]
    assert sorted(labels[True].values()) == sorted(labels[False].values())


def test_more_folds_than_patients_of_a_class(cohort):
    with pytest.raises(UserError, match="12 usable patients with class 'luad', fewer than the 13 folds"):
        split_cohort(cohort, folds=13)
