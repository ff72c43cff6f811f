"""Regions by the group of their prototype."""

import pytest

from workflow_scripts.core import schemas
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.region_groups import in_order, read_region_groups
from workflow_scripts.core.tables import write_table


def _assignments(*rows):
    return [dict(zip(("slide_id", "region_id", "prototype", "similarity"), row, strict=True)) for row in rows]


def _groups(*rows):
    return [dict(zip(("slide_id", "prototype", "group", "similarity"), row, strict=True)) for row in rows]


@pytest.fixture
def read(tmp_path):
    def read(assignments, groups, slides=None):
        write_table(tmp_path / "a.parquet", assignments, schemas.ASSIGNMENTS)
        write_table(tmp_path / "g.parquet", groups, schemas.GROUPS)
        return read_region_groups(tmp_path / "a.parquet", tmp_path / "g.parquet", slides)

    return read


REGIONS = _assignments(("b", "b2", 1, 0.5), ("a", "a1", 0, 0.75), ("b", "b1", 0, 0.25))
GROUPS = _groups(("a", 0, 4, 1.0), ("a", 1, 3, 0.5), ("b", 0, 2, 0.0), ("b", 1, 4, 0.25))


def test_a_region_has_the_group_of_its_own_slides_prototype(read):
    found = read(REGIONS, GROUPS)
    assert found["region_id"].to_pylist() == ["b2", "a1", "b1"]
    assert found["group"].to_pylist() == [4, 4, 2] and found["to_centre"].to_pylist() == [0.25, 1.0, 0.0]
    assert found["row"].to_pylist() == [3, 0, 2]
    assert list(in_order(found, ["b1", "none", "a1"])) == [2, -1, 4]
    assert list(in_order(found, ["b1", "none", "a1"], "prototype")) == [0, -1, 0]


def test_some_slides_alone(read):
    assert read(REGIONS, GROUPS, ["a"])["region_id"].to_pylist() == ["a1"]
    assert len(read(REGIONS, GROUPS, [])) == 0


def test_prototypes_of_the_cohort_are_those_of_every_slide(read):
    found = read(REGIONS, _groups(("", 0, 5, 1.0), ("", 1, 6, 0.5)))
    assert found["group"].to_pylist() == [6, 5, 5]


@pytest.mark.parametrize("groups", [GROUPS[:3], GROUPS[2:], _groups(("", 0, 5, 1.0))])
def test_tables_of_different_clusterings_are_refused(read, groups):
    with pytest.raises(UserError, match="lacks prototypes"):
        read(REGIONS, groups)
