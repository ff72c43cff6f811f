"""Nearest regions against brute force, approximate ones against exact, and the file between."""

import tracemalloc

import faiss
import numpy as np
import pyarrow as pa
import pytest
from safetensors.numpy import save_file
from sklearn.metrics.pairwise import cosine_similarity

from workflow_scripts.core import schemas
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.tables import write_table
from workflow_scripts.search.region_index import RECALL_AT, RegionIndex
from workflow_scripts.search.region_vectors import read_region_vectors


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


def with_slide_effects(slides=60, per_slide=100, dim=24, seed=0):
    """Regions that differ by their slide more than by their tissue."""
    random = np.random.default_rng(seed)
    slide, tissue = random.normal(size=(slides, 1, dim)), 0.7 * random.normal(size=(12, dim))
    own = tissue[random.integers(0, 12, (slides, per_slide))] + 0.5 * random.normal(size=(slides, per_slide, dim))
    vectors = (slide + own).reshape(-1, dim).astype(np.float32)
    return vectors, [f"s{i // per_slide}" for i in range(len(vectors))], [f"r{i}" for i in range(len(vectors))]


def test_the_recall_that_is_stated_is_that_of_other_slides():
    vectors, slides, names = with_slide_effects()
    index = RegionIndex.build(vectors, slides, names, approximate=True, recall=0.9)
    slide, shares = np.array(slides), []
    queries = np.random.default_rng(9).permutation(len(vectors))[:300]
    for one in queries:
        true = by_hand(vectors, vectors[[one]], RECALL_AT, slide != slide[one])[0][0]
        found = index.search(vectors[[one]], RECALL_AT, exclude_slides=[slide[one]]).row[0]
        shares.append(len(set(found) & set(true)) / RECALL_AT)
    assert index.meta["recall"] >= 0.9 and np.mean(shares) == pytest.approx(index.meta["recall"], abs=0.04)
    assert index.meta["probes"] < 77  # lists


def test_of_a_single_slide_recall_is_that_of_its_other_regions():
    vectors, _, names = regions(2000)
    index = RegionIndex.build(vectors, ["s"] * 2000, names, approximate=True, recall=0.8)
    found, exact = index.search(vectors, 11).row, index.search(vectors, 11, exact=True).row
    shares = [(len(set(one) & set(two)) - 1) / 10 for one, two in zip(found, exact, strict=True)]
    assert np.mean(shares) == pytest.approx(index.meta["recall"], abs=0.05) and index.meta["probes"] < 45


def test_more_lists_are_read_where_the_nearest_hold_what_is_left_out():
    random = np.random.default_rng(0)
    far, near = np.eye(2, 8)[:, None] * 20 + random.normal(size=(2, 1000, 8))
    vectors, slides = np.concatenate([near, far]).astype(np.float32), ["near"] * 1000 + ["far"] * 1000
    index = RegionIndex.build(vectors, slides, [str(i) for i in range(2000)], approximate=True)
    index.meta["probes"] = 1
    row = index.search(near[:5], 30, exclude_slides=["near"]).row
    assert (row >= 1000).all()


def test_an_approximate_index_is_the_same_where_faiss_has_a_gpu(monkeypatch):
    given = with_slide_effects()
    ways = [(exclude, exact) for exact in (False, True) for exclude in ((), ("s0", "s1"))]
    plain = RegionIndex.build(*given, approximate=True, recall=0.7)
    before = [plain.search(given[0][:200], 10, *way) for way in ways]
    calls = []

    def on_gpu(resources, device, index):
        calls.append(device)
        return index

    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 1)
    monkeypatch.setattr(faiss, "StandardGpuResources", lambda: None, raising=False)
    monkeypatch.setattr(faiss, "index_cpu_to_gpu", on_gpu, raising=False)
    other = RegionIndex.build(*given, approximate=True, recall=0.7)
    assert calls == [0] and other.meta == plain.meta  # exact search went there
    for one, way in zip(before, ways, strict=True):
        two = other.search(given[0][:200], 10, *way)
        np.testing.assert_array_equal(one.row, two.row)
        np.testing.assert_array_equal(one.cosine, two.cosine)


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


@pytest.mark.parametrize(
    ("queries", "k", "says"),
    [
        (np.ones((2, 7)), 3, r"the queries are \[2, 7\]; this index compares \[queries, 12\]"),
        (np.ones(12), 3, r"the queries are \[12\]"),
        (np.ones((1, 12)), -2, "k is -2; ask for at least one region"),
        (np.eye(3, 12, 1) * [[1], [0], [1]], 3, "query 1 is all zeros"),
        (np.full((1, 12), np.inf), 3, "holds NaN or infinity"),
    ],
)
def test_what_cannot_be_searched_is_told(queries, k, says):
    index = RegionIndex.build(*regions(50))
    with pytest.raises(UserError, match=says):
        index.search(queries, k)


def test_one_id_in_place_of_several_is_refused_and_one_that_is_not_there_leaves_nothing_out():
    index = RegionIndex.build(np.eye(4), list("aabb"), list("wxyz"))
    with pytest.raises(UserError, match="exclude_slides is the text 'a'; give a list"):
        index.search(np.eye(4), 2, exclude_slides="a")
    assert index.search(np.eye(4), 2, exclude_slides=["c"]).row[:, 0].tolist() == [0, 1, 2, 3]


def test_regions_are_read_piece_by_piece_into_one_array(tmp_path):
    n, dim = 40_000, 64
    vectors = np.random.default_rng(0).normal(size=(n, dim)).astype(np.float32)
    ids = {"slide_id": [f"s{i // 100}" for i in range(n)], "region_id": [f"r{i}" for i in range(n)]}
    offsets = pa.array(np.arange(0, n * dim + 1, dim, dtype=np.int32))
    table = pa.table(ids | {"vector": pa.ListArray.from_arrays(offsets, pa.array(vectors.ravel()))})
    write_table(tmp_path / "regions.parquet", table, schemas.REGION_EMBEDDINGS, row_group_size=15_000)
    del table, offsets
    read, slides, names = read_region_vectors(tmp_path / "regions.parquet")
    assert np.array_equal(read, vectors) and (slides, names) == (ids["slide_id"], ids["region_id"])
    assert pa.total_allocated_bytes() < 2**20
    tracemalloc.start()  # of numpy's arrays
    index = RegionIndex.build(read, slides, names, approximate=True, overwrite=True)
    index.save(tmp_path / "index.safetensors")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert index.vectors is read and peak < 0.9 * vectors.nbytes


def test_a_table_without_vectors_or_no_table_is_told(tmp_path):
    write_table(tmp_path / "empty.parquet", [], schemas.REGION_EMBEDDINGS)
    with pytest.raises(UserError, match="holds no vectors of regions"):
        read_region_vectors(tmp_path / "empty.parquet")
    (tmp_path / "text.parquet").write_text("no table")
    with pytest.raises(UserError, match="is not a readable table of regions"):
        read_region_vectors(tmp_path / "text.parquet")
