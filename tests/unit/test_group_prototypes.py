"""group_prototypes and describe_groups from tables to tables."""

import json

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from workflow_scripts import describe_groups, group_prototypes
from workflow_scripts.core import schemas
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.tables import read_meta, read_table, write_table
from workflow_scripts.mil.units import LABELS

SLIDES = ("a", "b", "c")
KINDS = {"a": (0, 1), "b": (1, 2), "c": (2, 0)}  # tissue of each slide's two prototypes
REGIONS = {"a": (4, 2), "b": (5, 1), "c": (1, 1)}  # of each prototype


def _clustering(folder, kinds, number, seed=0):
    """Two prototypes a slide near the axis of their tissue, and the regions of each."""
    rng, prototypes, assignments = np.random.default_rng(seed), [], []
    for slide in SLIDES:
        for place, (kind, count) in enumerate(zip(kinds[slide], REGIONS[slide], strict=True)):
            vector = np.eye(5)[kind] + 0.01 * rng.normal(size=5)
            prototypes.append({"slide_id": slide, "prototype": place, "n_regions": count, "vector": list(vector)})
            start = place * REGIONS[slide][0]
            assignments += [
                {"slide_id": slide, "region_id": f"{slide}{start + i}", "prototype": place, "similarity": 1 - i / 10}
                for i in range(count)
            ]
    meta = {"round": number, "handed_on": False}
    write_table(folder / "prototypes.parquet", prototypes, schemas.PROTOTYPES, meta)
    write_table(folder / "assignments.parquet", assignments, schemas.ASSIGNMENTS, meta)
    return [str(folder / f"{name}.parquet") for name in ("prototypes", "assignments")]


@pytest.fixture
def cohort(tmp_path):
    """Run `one` of two clusterings, run `two` of one; tissue regions 0, 1, 2 of 5, 7 and 2 regions."""
    last = _clustering(tmp_path / "one/round_02", KINDS, 2)
    before = _clustering(tmp_path / "one/round_01", KINDS | {"c": (0, 2)}, 1, seed=1)
    other = _clustering(tmp_path / "two/round_01", KINDS | {"a": (1, 0)}, 1)
    _group(tmp_path / "one", "--tables", *last, "--before", *before)
    _group(tmp_path / "two", "--tables", *other)
    for slide in SLIDES:
        count = sum(REGIONS[slide])
        rows = [
            {"slide_id": slide, "region_id": f"{slide}{i}", "x": 64 * i, "y": 7, "size_x": 64, "size_y": 65}
            for i in range(count)
        ]
        write_table(tmp_path / "regions" / f"{slide}.parquet", rows, schemas.REGIONS)
    labels = [{"slide_id": slide, "label": label} for slide, label in (("a", "low"), ("b", "high"))]
    labels.append({"slide_id": "elsewhere", "label": "high"})
    write_table(tmp_path / "labels.parquet", labels, LABELS, {"task": "grade"})
    return tmp_path


def _group(folder, *options):
    config = json.dumps({"groups": 3})
    group_prototypes.main([*options, "--config", config, "--output", str(folder / "groups.parquet")])


def _describe(cohort):
    two = [str(cohort / f"two/{name}.parquet") for name in ("groups", "round_01/assignments")]
    options = {
        "--config": json.dumps({"tasks": {"grade": ["low", "high"]}}),
        "--groups": cohort / "one/groups.parquet",
        "--assignments": cohort / "one/round_02/assignments.parquet",
        "--regions-folder": cohort / "regions",
        "--labels": cohort / "labels.parquet",
        "--output": cohort / "atlas.parquet",
    }
    describe_groups.main([*(str(part) for option in options.items() for part in option), "--others", *two])
    return read_table(cohort / "atlas.parquet").to_pylist(), read_meta(cohort / "atlas.parquet")


def _kinds(kinds):
    return [kinds[s][place] for s in SLIDES for place in (0, 1) for _ in range(REGIONS[s][place])]


def test_prototypes_of_one_tissue_are_a_group_and_the_largest_is_the_first(cohort):
    table = read_table(cohort / "one/groups.parquet")
    assert table.schema.equals(schemas.GROUPS)
    number = {1: 0, 0: 1, 2: 2}  # tissue 1 has 7 regions, 0 has 5, 2 has 2
    assert table["group"].to_pylist() == [number[kind] for slide in SLIDES for kind in KINDS[slide]]
    assert min(table["similarity"].to_pylist()) > 0.99


def test_stability_is_the_index_of_the_regions_groups(cohort):
    meta = read_meta(cohort / "one/groups.parquet")
    index = adjusted_rand_score(_kinds(KINDS), _kinds(KINDS | {"c": (0, 2)}))
    assert meta["before"] == {"round": 1, "ari": pytest.approx(index), "n_regions": 14} and index < 1
    assert meta["other_seeds"] == [1, 1, 1] and meta["groups"] == 3 and meta["round"] == 2
    assert read_meta(cohort / "two/groups.parquet")["before"] is None


def test_the_atlas_counts_with_denominators(cohort):
    rows, meta = _describe(cohort)
    assert [row["n_regions"] for row in rows] == [7, 5, 2] and [row["n_prototypes"] for row in rows] == [2, 2, 2]
    assert [row["n_slides"] for row in rows] == [2, 2, 2]
    of_zero = {row["class"]: row for row in rows[0]["classes"]}
    assert of_zero["low"] == {
        **{"task": "grade", "class": "low", "n_regions": 2, "group_regions": 7, "class_regions": 6},
        **{"n_slides": 1, "class_slides": 1},
    }
    assert of_zero["high"]["n_regions"] == 5 and of_zero["high"]["class_slides"] == 1
    assert [c["group_regions"] for c in rows[1]["classes"]] == [4, 4]  # the slide without a label is not counted
    index = adjusted_rand_score(_kinds(KINDS), _kinds(KINDS | {"a": (1, 0)}))
    assert meta["other_runs"] == [{"run": "two", "ari": pytest.approx(index), "n_regions": 14}]
    assert meta["run"] == "one" and meta["before"]["n_regions"] == 14 and "centres" not in meta


def test_nearest_regions_have_their_places_and_go_from_slide_to_slide(cohort):
    nearest = _describe(cohort)[0][0]["nearest"]
    assert [row["region_id"] for row in nearest] in (
        ["b0", "a4", "b1", "a5", "b2", "b3", "b4"],
        ["a4", "b0", "a5", "b1", "b2", "b3", "b4"],
    )
    row = next(row for row in nearest if row["region_id"] == "a4")
    assert {key: row[key] for key in ("x", "y", "size_x", "size_y")} == {"x": 256, "y": 7, "size_x": 64, "size_y": 65}
    assert nearest[0]["least_cosine"] > 0.99


def test_the_same_tables_give_the_same_bytes(cohort):
    _describe(cohort)
    before = [(cohort / name).read_bytes() for name in ("atlas.parquet", "one/groups.parquet")]
    tables = [str(cohort / f"one/round_02/{name}.parquet") for name in ("prototypes", "assignments")]
    earlier = [str(cohort / f"one/round_01/{name}.parquet") for name in ("prototypes", "assignments")]
    _group(cohort / "one", "--tables", *tables, "--before", *earlier)
    _describe(cohort)
    assert [(cohort / name).read_bytes() for name in ("atlas.parquet", "one/groups.parquet")] == before


def test_a_run_without_prototypes_is_told(cohort):
    write_table(cohort / "p.parquet", [], schemas.PROTOTYPES)
    with pytest.raises(UserError, match=r"p\.parquet has no prototypes"):
        _group(cohort, "--tables", str(cohort / "p.parquet"), str(cohort / "one/round_02/assignments.parquet"))
