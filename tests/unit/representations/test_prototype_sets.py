"""Sets of prototypes: their means against plain loops, their order against a planted one."""

from itertools import permutations

import numpy as np
import pytest

from workflow_scripts import embed_prototypes
from workflow_scripts.core import schemas
from workflow_scripts.core.embeddings import seen_facts
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.tables import read_meta, read_table, write_table
from workflow_scripts.representations.prototype_sets import canonical_order, prototype_means

SEEN = {"pretrained_on": "this cohort", **seen_facts(["a", "b", "gone"], ["a", "b", "small"])}


def test_means_are_those_of_the_regions_of_each_prototype():
    random = np.random.default_rng(0)
    vectors = random.normal(size=(9, 4)).astype(np.float32)
    slide, prototype = np.array([0, 0, 0, 1, 1, 1, 1, 2, 2]), np.array([0, 1, 1, 2, 2, 0, -1, -1, -1])
    sets, there = prototype_means(vectors, slide, prototype, 3, 3)
    for s in range(3):
        for m in range(3):
            own = vectors[(slide == s) & (prototype == m)]
            assert there[s, m] == (len(own) > 0)
            expected = own if len(own) else vectors[slide == s]  # else the mean over the slide
            np.testing.assert_allclose(sets[s, m], expected.astype(np.float64).mean(axis=0), rtol=1e-6)


@pytest.mark.parametrize("count", [2, 4, 7])
def test_a_planted_order_is_found_whatever_the_order_of_the_slides(count):
    """The same prototypes in each slide, shuffled and blurred, far from the origin as embeddings are."""
    random = np.random.default_rng(count)
    planted = random.normal(size=(count, 16))
    shuffles = np.array([random.permutation(count) for _ in range(30)])
    sets = planted[shuffles] + 0.2 * random.normal(size=(30, count, 16)) + 5
    complete = np.ones(30, dtype=bool)
    complete[3] = False
    every = np.ones(30, dtype=bool)
    order = canonical_order(sets, complete, every)
    stands = np.take_along_axis(shuffles, order, axis=1)
    assert (stands == stands[0]).all() and sorted(stands[0]) == list(range(count))
    turned = canonical_order(sets[::-1], complete[::-1], every)[::-1]
    np.testing.assert_array_equal(turned, order)


def test_slides_kept_from_pretraining_change_no_other_slides_order():
    random = np.random.default_rng(7)
    sets = random.normal(size=(20, 3, 8))
    learnt = np.arange(20) < 12
    complete = np.ones(20, dtype=bool)
    alone = canonical_order(sets[:12], complete[:12], learnt[:12])
    sets[12:] = 50 * random.normal(size=(8, 3, 8)) + 100
    np.testing.assert_array_equal(canonical_order(sets, complete, learnt)[:12], alone)


def test_each_order_is_the_best_against_the_mean_of_the_others():
    random = np.random.default_rng(1)
    sets = random.normal(size=(12, 3, 6))
    order = canonical_order(sets, np.ones(12, dtype=bool), np.ones(12, dtype=bool))
    unit = sets - sets.mean(axis=(0, 1))
    unit /= np.linalg.norm(unit, axis=-1, keepdims=True)
    placed = np.take_along_axis(unit, order[:, :, None], axis=1)
    reference = placed.mean(axis=0)
    reference /= np.linalg.norm(reference, axis=-1, keepdims=True)
    for slide, own in zip(unit, order, strict=True):
        best = max(permutations(range(3)), key=lambda p: sum(reference[k] @ slide[p[k]] for k in range(3)))
        assert tuple(own) == best


def _write(folder, prototypes):
    """Three slides of 4, 4 and 2 regions; the last has no prototypes."""
    random = np.random.default_rng(2)
    centres = np.array([[3.0, 0, 0], [0, 3.0, 0]])
    rows = [
        {"slide_id": slide, "region_id": f"{i}_0", "vector": (centres[k] + random.normal(0, 0.1, 3)).tolist()}
        for slide, kinds in (("a", [0, 0, 1, 1]), ("b", [1, 1, 1, 0]), ("small", [0, 1]))
        for i, k in enumerate(kinds)
    ]
    write_table(folder / "regions.parquet", rows, schemas.REGION_EMBEDDINGS, SEEN)
    assigned = [
        {"slide_id": slide, "region_id": f"{i}_0", "prototype": k}
        for slide, kinds in prototypes.items()
        for i, k in enumerate(kinds)
    ]
    write_table(folder / "assignments.parquet", assigned, schemas.ASSIGNMENTS)
    write_table(folder / "none.parquet", [], schemas.ASSIGNMENTS)
    tables = [f"{folder}/{name}.parquet" for name in ("assignments", "none")]
    files = ["--regions", f"{folder}/regions.parquet", "--assignments", *tables]
    outputs = ["--regions-output", f"{folder}/set.parquet", "--slides-output", f"{folder}/slides.parquet"]
    embed_prototypes.main([*files, "--count", "2", *outputs])
    return {row["slide_id"]: np.array(row["vector"]) for row in rows if row["region_id"] == "0_0"}


def test_the_command_writes_sets_and_concatenations(tmp_path):
    _write(tmp_path, {"a": [0, 0, 1, 1], "b": [0, 0, 0, 1]})  # of slide b, prototype 0 is what is 1 in slide a
    table = read_table(tmp_path / "slides.parquet").to_pylist()
    slides = {row["slide_id"]: np.array(row["vector"]).reshape(2, 3) for row in table}
    kinds = slides["a"].argmax(axis=1)
    assert sorted(kinds) == [0, 1]
    np.testing.assert_array_equal(slides["b"].argmax(axis=1), kinds)
    np.testing.assert_allclose(slides["small"][0], slides["small"][1])
    rows = read_table(tmp_path / "set.parquet").to_pylist()
    assert [(row["slide_id"], row["region_id"]) for row in rows] == [
        *((slide, f"prototype_{k}") for slide in "ab" for k in range(2)), ("small", "prototype_0")
    ]  # fmt: skip
    for row in rows:
        place = int(row["region_id"][-1])
        np.testing.assert_allclose(row["vector"], slides[row["slide_id"]][place])
    meta = read_meta(tmp_path / "slides.parquet")
    assert {key: meta[key] for key in SEEN} == SEEN


def test_tables_of_different_slides_are_refused(tmp_path):
    with pytest.raises(UserError, match="are of different slides; run embed again"):
        _write(tmp_path, {"other": [0, 1]})
