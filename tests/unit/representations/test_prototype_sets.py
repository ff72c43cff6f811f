"""Sets of prototypes: their means against plain loops, their order against a planted one."""

import json
from itertools import permutations

import numpy as np
import pyarrow as pa
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

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


def _embed(folder, settings, *options):
    files = ["--regions", f"{folder}/regions.parquet", "--cohort", f"{folder}/cohort.parquet", *options]
    outputs = ["--regions-output", f"{folder}/set.parquet", "--slides-output", f"{folder}/slides.parquet"]
    embed_prototypes.main(["--config", json.dumps(settings), *files, *outputs])


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
    _embed(folder, {"count": 2}, "--assignments", *tables)
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


def _planted(folder, saw, slides=8, kinds=3, each=6):
    """Regions of several kinds in every slide, far from the origin, each slide with a stain; the last is small."""
    random = np.random.default_rng(4)
    centres = 4 * random.normal(size=(kinds, 16))
    sizes = [*([kinds * each] * slides), 4]
    rows, kind_of = [], {}
    for number, size in enumerate(sizes):
        stain = 20 * random.normal(size=16)
        for i in range(size):
            kind_of[f"s{number}", f"{i}_0"] = i % kinds
            vector = centres[i % kinds] + stain + random.normal(size=16)
            rows.append({"slide_id": f"s{number}", "region_id": f"{i}_0", "vector": vector.tolist()})
    write_table(folder / "regions.parquet", rows, schemas.REGION_EMBEDDINGS, {"pretrained_on": "ImageNet", **saw})
    ids = [{"slide_id": f"s{number}"} for number in range(len(sizes) - 2)] + [{"slide_id": "excluded"}]
    write_table(folder / "cohort.parquet", ids, pa.schema([("slide_id", pa.string())]))
    return rows, kind_of


CLUSTER = {"count": 3, "min_regions": 6, "iterations": 10, "restarts": 5, "kmeans": "euclidean"}


def test_regions_that_no_run_clusters_are_clustered_within_their_slide(tmp_path):
    rows, kind_of = _planted(tmp_path, seen_facts([], ["s0"]))
    _embed(tmp_path, {"count": 3, "cluster": CLUSTER, "seed": 1})
    sets = read_table(tmp_path / "set.parquet").to_pylist()
    for number in range(8):
        own = [row for row in rows if row["slide_id"] == f"s{number}"]
        vectors = np.array([row["vector"] for row in own])
        kinds = [kind_of[row["slide_id"], row["region_id"]] for row in own]
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        labels = KMeans(3, n_init=5, random_state=0).fit_predict(unit)
        assert adjusted_rand_score(kinds, labels) == 1
        expected = sorted(vectors[labels == k].mean(axis=0).tolist() for k in range(3))
        found = sorted(row["vector"] for row in sets if row["slide_id"] == f"s{number}")
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    small = [row for row in sets if row["slide_id"] == "s8"]  # too few regions: the mean over them, once
    whole = np.mean([row["vector"] for row in rows if row["slide_id"] == "s8"], axis=0)
    assert len(small) == 1
    np.testing.assert_allclose(small[0]["vector"], whole, rtol=1e-4)


def test_where_nothing_was_trained_the_cohorts_slides_alone_tell_the_order_and_are_named_as_seen(tmp_path):
    _planted(tmp_path, seen_facts([], ["s0"]))
    _embed(tmp_path, {"count": 3, "cluster": CLUSTER})
    meta = read_meta(tmp_path / "slides.parquet")
    assert meta["saw"] == [f"s{number}" for number in range(7)]  # s7 and s8 are of a test cohort
    assert meta["pretrained_on"] == "ImageNet; prototypes put in order by 7 slides of the cohort, no labels"
    whole = {row["slide_id"]: row["vector"] for row in read_table(tmp_path / "slides.parquet").to_pylist()}
    rows = read_table(tmp_path / "regions.parquet").to_pylist()
    kept = [row for row in rows if row["slide_id"] not in ("s7", "s8")]
    write_table(tmp_path / "regions.parquet", kept, schemas.REGION_EMBEDDINGS, read_meta(tmp_path / "regions.parquet"))
    _embed(tmp_path, {"count": 3, "cluster": CLUSTER})
    for row in read_table(tmp_path / "slides.parquet").to_pylist():
        assert row["vector"] == whole[row["slide_id"]]


def test_of_a_run_that_does_not_cluster_slides_what_it_saw_stays(tmp_path):
    saw = seen_facts(["s0", "s1", "gone"], [f"s{number}" for number in range(9)])
    _planted(tmp_path, saw)
    _embed(tmp_path, {"count": 3, "cluster": CLUSTER})
    assert {key: read_meta(tmp_path / "slides.parquet")[key] for key in saw} == saw
