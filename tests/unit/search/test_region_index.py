"""Nearest regions against brute force, approximate ones against exact, and the file between."""

import numpy as np
import pytest
from safetensors.numpy import save_file
from sklearn.metrics.pairwise import cosine_similarity

from workflow_scripts.core.errors import UserError
from workflow_scripts.search.region_index import RECALL_AT, RegionIndex


def regions(n=600, dim=12, slides=20, seed=0):
    """Regions around some centres, with their slides and ids."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(30, dim)) * 2
    vectors = (centres[random.integers(0, 30, n)] + random.normal(size=(n, dim))).astype(np.float32)
    return vectors, [f"s{i % slides}" for i in range(n)], [f"r{i}" for i in range(n)]


def by_hand(vectors, queries, k, kept):
    cosines = np.round(cosine_similarity(queries.astype(float), vectors.astype(float)), 6)
    cosines[:, ~kept] = -np.inf
    rows = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
    return rows, np.take_along_axis(cosines, rows, axis=1)


@pytest.mark.parametrize("exclude", [(), ("s3", "s7"), ("unknown",)])
def test_exact_search_is_brute_force_without_the_excluded_slides(exclude):
    vectors, slides, names = regions()
    queries = np.random.default_rng(1).normal(size=(25, 12)) * 7
    index = RegionIndex.build(vectors, slides, names)
    found = index.search(queries, 8, exclude_slides=exclude)
    rows, cosines = by_hand(vectors, queries, 8, ~np.isin(slides, exclude))
    assert not index.approximate and index.meta["recall"] == 1
    assert (found.row == rows).mean() > 0.99  # but for cosines that are equal to six decimals
    np.testing.assert_allclose(found.cosine, cosines, atol=2e-6)
    again = [cosine_similarity(query[None], vectors[row])[0] for query, row in zip(queries, found.row, strict=True)]
    np.testing.assert_allclose(found.cosine, again, atol=2e-6)
    assert not {slides[row] for row in found.row.ravel()} & set(exclude)


def test_an_approximate_index_finds_what_it_states_and_excludes_too():
    vectors, slides, names = regions(5000, slides=50)
    index = RegionIndex.build(vectors, slides, names, approximate=True, recall=0.9)
    assert index.approximate and 0.9 <= index.meta["recall"] <= 1
    assert 1 <= index.meta["probes"] < 71  # of 71 lists
    queries = vectors[::10] + np.random.default_rng(2).normal(size=(500, 12)).astype(np.float32) * 0.1
    found, exact = index.search(queries, RECALL_AT).row, index.search(queries, RECALL_AT, exact=True).row
    rows, _ = by_hand(vectors, queries, RECALL_AT, np.ones(5000, bool))
    assert (exact == rows).mean() > 0.99
    recall = np.mean([len(set(one) & set(two)) / RECALL_AT for one, two in zip(found, rows, strict=True)])
    assert recall == pytest.approx(index.meta["recall"], abs=0.05)
    without = index.search(queries, RECALL_AT, exclude_slides=["s0"]).row
    assert "s0" not in {slides[row] for row in without[without >= 0]}


@pytest.mark.parametrize("approximate", [False, True])
def test_what_is_saved_is_found_again_the_same(tmp_path, approximate):
    vectors, slides, names = regions(3000)
    index = RegionIndex.build(vectors, slides, names, approximate=approximate, meta={"run": "slpd"})
    index.save(tmp_path / "index.safetensors")
    loaded = RegionIndex.load(tmp_path / "index.safetensors")
    assert (loaded.slide_ids, loaded.region_ids, loaded.meta) == (slides, names, index.meta)
    for one, two in zip(index.search(vectors[:9], 5), loaded.search(vectors[:9], 5), strict=True):
        np.testing.assert_array_equal(one, two)
    assert [file.name for file in tmp_path.iterdir()] == ["index.safetensors"]


def test_the_same_seed_gives_the_same_file(tmp_path):
    for name in ("one", "two"):
        RegionIndex.build(*regions(3000), approximate=True, seed=3).save(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_where_there_are_fewer_than_k_the_rest_is_empty():
    vectors, slides, names = regions(6, slides=3)
    found = RegionIndex.build(vectors, slides, names).search(vectors[:2], 5, exclude_slides=["s0"])
    assert (found.row[:, :4] >= 0).all() and (found.row[:, 4] == -1).all() and np.isnan(found.cosine[:, 4]).all()


def test_equal_regions_stand_in_their_order():
    vectors = np.repeat(regions(4)[0], 10, axis=0)
    found = RegionIndex.build(vectors, ["s"] * 40, [str(i) for i in range(40)]).search(vectors[10:11], 10)
    assert found.row[0].tolist() == list(range(10, 20))


def test_a_file_of_another_kind_a_missing_one_and_a_broken_embedding_are_told(tmp_path):
    save_file({"a": np.zeros(3)}, tmp_path / "other")
    (tmp_path / "text").write_text("no tensors")
    with pytest.raises(UserError, match="is no index of regions of this version"):
        RegionIndex.load(tmp_path / "other")
    for name in ("text", "missing"):
        with pytest.raises(UserError, match="cannot be read as an index of regions"):
            RegionIndex.load(tmp_path / name)
    with pytest.raises(UserError, match="holds NaN or infinity"):
        RegionIndex.build(np.full((3, 2), np.nan), ["s"] * 3, list("abc"))
    with pytest.raises(UserError, match="there are no regions"):
        RegionIndex.build(np.empty((0, 2)), [], [])
