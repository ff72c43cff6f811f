import numpy as np
import pytest

from workflow_scripts.core.schemas import ASSIGNMENTS, NEIGHBOURS, PROTOTYPES
from workflow_scripts.core.tables import read_table, write_table
from workflow_scripts.slpd.neighbours import SlideNeighbours
from workflow_scripts.slpd.prototypes import COHORT, SlidePrototypes, owners
from workflow_scripts.slpd.round_tables import (
    assignment_table,
    neighbour_table,
    prototype_table,
    read_neighbours,
    read_prototypes,
)

from . import cohort, plain

SLIDES = ["d", "a", "c", "b"]  # not sorted: the order is the caller's
REGION_SLIDES = [SLIDES[i] for i in cohort.SLIDE_INDEX]
REGIONS = [f"{slide}_{n}" for n, slide in enumerate(REGION_SLIDES)]


def same(one, other) -> None:
    for name, value in vars(one).items():
        np.testing.assert_array_equal(value, getattr(other, name), err_msg=name)
        assert value.dtype == getattr(other, name).dtype, name


def stored(path, table, schema):
    write_table(path, table, schema)
    return read_table(path)


def test_prototypes_round_trip(tmp_path):
    found = cohort.prototypes(plain.tiny_run())
    found.similarity[:] = np.where(found.assignment >= 0, np.linspace(0.1, 0.9, cohort.REGIONS), 0)
    prototypes = stored(tmp_path / "p", prototype_table(found, SLIDES, cohort.SLIDE_INDEX), PROTOTYPES)
    assignments = stored(tmp_path / "a", assignment_table(found, REGION_SLIDES, REGIONS), ASSIGNMENTS)
    same(found, read_prototypes(prototypes, assignments, SLIDES, REGIONS))
    for row in prototypes.to_pylist():
        slide = SLIDES.index(row["slide_id"])
        own = [n for n in range(cohort.REGIONS) if cohort.SLIDE_INDEX[n] == slide]
        assert row["n_regions"] == sum(found.assignment[n] == row["prototype"] for n in own)
    assert sum(prototypes["n_regions"].to_pylist()) == len(assignments) == 9
    assert [row["region_id"].split("_")[0] for row in assignments.to_pylist()] == assignments["slide_id"].to_pylist()


def test_prototypes_without_assignments(tmp_path):
    found = cohort.prototypes(plain.tiny_run())
    table = stored(tmp_path / "p", prototype_table(found, SLIDES, cohort.SLIDE_INDEX), PROTOTYPES)
    back = read_prototypes(table, None, SLIDES, REGIONS)
    np.testing.assert_array_equal(back.vectors, found.vectors)
    assert (back.assignment == -1).all()


def test_read_in_another_order_of_slides(tmp_path):
    found = cohort.prototypes(plain.tiny_run())
    table = stored(tmp_path / "p", prototype_table(found, SLIDES, cohort.SLIDE_INDEX), PROTOTYPES)
    back = read_prototypes(table, None, SLIDES[::-1], REGIONS)
    np.testing.assert_array_equal(back.vectors, found.vectors[::-1])
    np.testing.assert_array_equal(back.valid, found.valid[::-1])


def test_neighbours_round_trip(tmp_path):
    found = cohort.neighbours()
    found.similarity[:] = np.where(found.index >= 0, 1.25, 0)
    table = stored(tmp_path / "n", neighbour_table(found, SLIDES), NEIGHBOURS)
    same(found, read_neighbours(table, SLIDES, 2))
    first = table.to_pylist()[0]
    assert (first["slide_id"], first["rank"], first["neighbour_id"], first["matching"]) == ("d", 1, "b", [1, 0])


def test_prototypes_of_the_cohort_round_trip(tmp_path):
    vectors = np.random.default_rng(0).standard_normal((1, 5, 3)).astype(np.float32)
    assignment = np.where(cohort.SLIDE_INDEX == 2, -1, np.arange(cohort.REGIONS) % 4)  # the last prototype has none
    similarity = np.where(assignment >= 0, 0.5, 0).astype(np.float32)
    found = SlidePrototypes(vectors, np.ones(1, bool), assignment, similarity)
    ids, owner = owners("global", SLIDES, cohort.SLIDE_INDEX)
    prototypes = stored(tmp_path / "p", prototype_table(found, ids, owner), PROTOTYPES)
    assignments = stored(tmp_path / "a", assignment_table(found, REGION_SLIDES, REGIONS), ASSIGNMENTS)
    same(found, read_prototypes(prototypes, assignments, ids, REGIONS))
    assert prototypes["slide_id"].to_pylist() == [COHORT] * 5
    assert prototypes["n_regions"].to_pylist() == [(assignment == k).sum() for k in range(5)]
    assert set(assignments["slide_id"].to_pylist()) == set(SLIDES) - {SLIDES[2]}


def test_a_slice_of_a_table_is_read_as_itself(tmp_path):
    found = cohort.prototypes(plain.tiny_run())
    table = stored(tmp_path / "p", prototype_table(found, SLIDES, cohort.SLIDE_INDEX), PROTOTYPES)
    back = read_prototypes(table.slice(2, 2), None, SLIDES, REGIONS)
    np.testing.assert_array_equal(back.vectors[1], found.vectors[1])
    assert back.valid.tolist() == [False, True, False, False]


@pytest.mark.parametrize("regions", [0, 3])
def test_a_cohort_without_prototypes(tmp_path, regions):
    none = SlidePrototypes(
        np.zeros((2, 2, 4), np.float32), np.zeros(2, bool), np.full(regions, -1), np.zeros(regions, np.float32)
    )
    index = np.zeros(regions, dtype=int)
    names = [f"r{n}" for n in range(regions)]
    prototypes = stored(tmp_path / "p", prototype_table(none, ["a", "b"], index), PROTOTYPES)
    assignments = stored(tmp_path / "a", assignment_table(none, ["a"] * regions, names), ASSIGNMENTS)
    back = read_prototypes(prototypes, assignments, ["a", "b"], names)
    assert not back.valid.any()
    assert back.assignment.tolist() == [-1] * regions
    empty = SlideNeighbours(np.full((2, 1), -1), np.zeros((2, 1), np.float32), np.full((2, 1, 2), -1))
    table = stored(tmp_path / "n", neighbour_table(empty, ["a", "b"]), NEIGHBOURS)
    same(empty, read_neighbours(table, ["a", "b"], 2))
